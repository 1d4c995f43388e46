"""`recmem rejected` and `recmem resubmit`: export rejected rows, correct them and add them again, or write them off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import complain, say, show_table
from recmem.cli.error_handling import UsageError
from recmem.cli.options import StoreFolder

if TYPE_CHECKING:
    import polars as pl

    from feature_store import Store

N_SHOWN = 3
"""Rows shown for each reason."""
VALUE_CHARS = 60
"""Of a bad value."""
ID_CHARS = 24
"""Of each cell that says which row it is."""
LINE_CHARS = 200
"""Of a line that could not be read."""
TABLES = ("items", "events", "impressions", "users", "facts")


def rejected(
    store: StoreFolder,
    table: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Only rows of this table: items, events, impressions, users or facts.",
            show_default="all",
        ),
    ] = "",
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Only rows whose reason contains this text.", show_default="all")
    ] = "",
    settled: Annotated[
        bool,
        typer.Option(
            "--settled", help="The rows that were dealt with instead: corrected, stored since, or written off."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write these rows to a JSON lines file, to correct them.")
    ] = None,
    discard: Annotated[
        bool,
        typer.Option(
            "--discard",
            help="Write these rows off: they stay in the store, and are not reported again when they come again "
            "unchanged.",
        ),
    ] = False,
) -> None:
    """Show, export or write off rejected rows.

    Rows are shown by reason, with up to three examples each. To add them after all, export them with --out, correct
    them, and run `recmem resubmit`. A row is no longer shown once a valid row of the same event_id, or of the same
    user, item, time and event, is stored.
    """
    if table and table not in TABLES:
        raise UsageError(f"--table: expected one of {', '.join(TABLES)}, got {table!r}. Name a table.")
    if settled and discard:
        raise UsageError("--settled, --discard: expected one of them, got both. Settled rows need not be written off.")
    from feature_store import Store
    from feature_store.addresses import without_secrets
    from feature_store.resubmission import write_correction_file

    opened = Store.open(store)
    rows = _rows(opened, table, reason, settled=settled)
    if rows.is_empty():
        which = "settled rejected rows" if settled else "rejected rows"
        say(f"The store has no {which}{' of this kind' if table or reason else ''}.")
        return
    for group in _by_reason(rows):
        _show(group)
    if out is not None:
        write_correction_file(rows, out)
        say(f"Wrote {_n_rows(rows)} to {out}.")
    if discard:
        opened.settle_rejected(rows["content_hash"].to_list())
        settled_in = f"--store {quote(without_secrets(store))} --settled"
        say(f"Wrote off {_n_rows(rows)}. To see them, run `recmem rejected {settled_in}`.")
    elif out is not None:
        _say_how_to_correct(rows, store, out)


def _rows(store: Store, table: str, reason: str, *, settled: bool) -> pl.DataFrame:
    import polars as pl

    from feature_store import REJECTED
    from feature_store.settled_rows import are_settled

    found = store.rejected()
    if settled:
        found = store.read(REJECTED)
        found = found.filter(are_settled(found))
    if table:
        found = found.filter(table=table)
    return found.filter(pl.col("reason").str.contains(reason, literal=True)).sort(
        "table", "reason", "settled", "line", "row_number"
    )


def _by_reason(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for _, group in rows.group_by("table", "reason", "settled", maintain_order=True):
        yield group


def _n_rows(rows: pl.DataFrame) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows):,} rows"


def _show(group: pl.DataFrame) -> None:
    """Prints some rows of one table and reason: the bad cells, where each row is, and which it is."""
    from feature_store.rejected_rows import bad_and_identifying_cells

    shown = []
    for row in group.head(N_SHOWN).iter_rows(named=True):
        bad, identifying = bad_and_identifying_cells(row["row"], row["reason"], row["table"])
        line = row["line"]
        shown.append(
            (
                _cells(bad, LINE_CHARS if not identifying else VALUE_CHARS),
                f"row {row['row_number']} (from 0)" if line is None else f"line {line}",
                _cells(identifying, ID_CHARS),
            )
        )
    first = group.row(0, named=True)
    how = f" ({first['settled']})" if first["settled"] else ""
    # Not the table's title, which would be as narrow as the table.
    say(f"{len(group):,} x {first['table']}: {first['reason']}{how}")
    show_table(("value", "where", "row"), shown, n_words=3)


def _cells(cells: dict[str, str], length: int) -> str:
    from feature_store.excerpts import excerpt

    return ", ".join(f"{name} {excerpt(value, length)}".strip() for name, value in cells.items())


def _say_how_to_correct(rows: pl.DataFrame, store: str, out: Path) -> None:
    from feature_store.addresses import without_secrets
    from feature_store.files.file_rows import UNREADABLE
    from feature_store.settled_rows import WRITTEN_OFF

    n_written = len(rows)
    # The others are stored.
    rows = rows.filter(rows["settled"].is_null() | (rows["settled"] == WRITTEN_OFF))
    if rows.is_empty():
        return
    given = f"--store {quote(without_secrets(store))} --rows {quote(str(out))}"
    which = ""
    if len(rows) < n_written:
        which = f"To add the {_n_rows(rows)} that {'was' if len(rows) == 1 else 'were'} written off after all: "
    say(f"{which}Correct the values under `row`, then run `recmem resubmit {given}`.")
    if rows["row"].str.starts_with(f'{{"{UNREADABLE}"').any():
        say(f'Where `row` holds an "{UNREADABLE}", replace it by the columns of the row and their values.')


def resubmit(
    store: StoreFolder,
    rows: Annotated[
        Path, typer.Option(metavar="PATH", help="The file from `recmem rejected --out`, with its rows corrected.")
    ],
) -> None:
    """Add corrected rows to a store.

    Rows that are now valid are added to their table, and `recmem rejected` no longer shows them; the others stay open,
    each with its reason. The file may be given again, for instance to correct the rest of its rows: what it has added
    is not added twice.
    """
    from feature_store import Store
    from feature_store.files.file_rows import UNREADABLE
    from feature_store.resubmission import read_corrected
    from feature_store.resubmission import resubmit as resubmit_rows

    result = resubmit_rows(Store.open(store), read_corrected(rows))
    for receipt in result.receipts:
        say(str(receipt))
    if result.n_unread:
        rows_are = "1 row is" if result.n_unread == 1 else f"{result.n_unread:,} rows are"
        complain(
            f'{rows_are} still the text of a line that could not be read. Replace "{UNREADABLE}" under '
            "`row` by the columns of the row and their values."
        )
    known = f", {result.n_known:,} settled before" if result.n_known else ""
    given = "1 row" if result.n_in == 1 else f"{result.n_in:,} rows"
    say(f"{result.n_accepted:,} of {given} accepted, {result.n_still_bad:,} still rejected{known}.")
