"""Output to the terminal: results on stdout, progress bars and warnings on stderr.

Control characters in what is printed are written out, whatever it was made from (`printable`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from recmem.cli.printable import one_line, printable

_UNBOUNDED = 100_000
"""Columns of a terminal that any table fits."""


def say(text: str = "", *, style: str | None = None) -> None:
    """Prints one paragraph to stdout, without markup: an item's title may contain brackets."""
    _console().print(Text(printable(text), style=style or ""), soft_wrap=True)


def complain(text: str) -> None:
    """Prints one paragraph to stderr, addresses in it without user, password and parameters."""
    from feature_store.addresses import redact  # imports polars, which `recmem --help` does without

    _console(stderr=True).print(Text(printable(redact(text))), soft_wrap=True)


def show_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    n_words: int = 1,
    marked: Sequence[int] = (),
) -> None:
    """Prints a table to stdout: the first `n_words` columns are text, the others numbers. Rows in `marked` are bold."""
    _console().print(_table(headings, rows, title, n_words, marked))


def table_fits(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether `show_table` would print such a table without a line break within a cell."""
    console = _console()
    unbounded = console.options.update(width=_UNBOUNDED)
    return console.measure(_table(headings, rows), options=unbounded).maximum <= console.width


def _table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str = "",
    n_words: int = 1,
    marked: Sequence[int] = (),
) -> Table:
    shown_title = _text(title) if title else None
    table = Table(box=box.SIMPLE_HEAD, title=shown_title, title_justify="left", pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(_text(heading), justify="left" if place < n_words else "right", no_wrap=place >= n_words)
    for number, row in enumerate(rows):
        table.add_row(*map(_text, row), style="bold" if number in marked else None)
    return table


class Bars:
    """Progress bars on stderr; a stage started within another gets a bar of its own below it.

    Without `stay`, a bar goes when its stage is done.
    """

    def __init__(self, *, stay: bool = True) -> None:
        self._live: Progress | None = None
        self._stay = stay

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar of `total` steps (None: unknown). Yields a function to call with the number of steps just done."""
        if self._live is not None:
            yield from _task(self._live, title, total)
            return
        with _bars(stay=self._stay) as self._live:
            try:
                yield from _task(self._live, title, total)
            finally:
                self._live = None


def _task(live: Progress, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    task = live.add_task(one_line(title), total=total)
    yield lambda steps: live.advance(task, steps)
    if not total and not live.tasks[live.task_ids.index(task)].completed:
        live.remove_task(task)  # there was nothing to do, and "0/0" says nothing
        return
    # Cached steps were not counted, and a stage without a total has one now.
    done = max(live.tasks[live.task_ids.index(task)].completed, total or 0)
    live.update(task, total=done, completed=done)


def _bars(*, stay: bool) -> Progress:
    console = _console(stderr=True)
    return Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description:<32}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=not stay,
        disable=not stay and not console.is_terminal,  # a file would get an empty line for each
    )


class _Rate(ProgressColumn):
    """Steps per second: the current speed, and the average once the stage is done."""

    def render(self, task: Task) -> Text:
        """See `ProgressColumn.render`."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s", justify="right")


def _text(cell: str) -> Text:
    return Text(one_line(cell))


def _console(*, stderr: bool = False) -> Console:
    # Created on each use, since notebooks and tests replace the streams.
    return Console(stderr=stderr, highlight=False)
