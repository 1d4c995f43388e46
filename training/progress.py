"""How a run reports its progress: in stages, which the caller may show."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Shows the stages of a run; `recmem.cli.console.Bars` draws them as bars."""

    def stage(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """A stage of `total` steps (None if that is unknown); its function is called with the number just done."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A stage that is not shown."""
        del title, total
        yield lambda steps: None


class Lines:
    """Prints a line on stderr when a stage begins that is within no other: for notebooks, where bars need widgets."""

    def __init__(self) -> None:
        self._depth = 0

    @contextmanager
    def stage(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A stage with a line of its own, and its steps if they are known."""
        if not self._depth:
            print(title if not total else f"{title} ({total:,})", file=sys.stderr, flush=True)
        self._depth += 1
        try:
            yield lambda steps: None
        finally:
            self._depth -= 1


def shown_progress(progress: Progress | None, *, stay: bool = True) -> Progress:
    """What shows the stages of a run: `progress` if it is given, else what a person sees who watches.

    Bars on a terminal, lines in a notebook, and nothing elsewhere, such as in a job whose output goes to a file.
    Without `stay`, a bar goes when its stage is done.
    """
    if progress is not None:
        return progress
    from rich.console import Console

    from recmem.cli.console import Bars

    console = Console(stderr=True)
    if console.is_jupyter:
        return Lines()
    return Bars(stay=stay) if console.is_terminal else Silent()
