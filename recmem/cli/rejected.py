"""`recmem rejected` and `recmem resubmit`: export rejected rows, correct them and add them again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import complain, say, show_table
from recmem.cli.options import StoreFolder

N_SHOWN = 3
"""Rows shown for each reason."""
SHOWN_CHARS = 100


def rejected(
    store: StoreFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write all rejected rows to this JSON lines file.")
    ] = None,
) -> None:
    """Show or export rejected rows.

    Rows are shown by reason, with up to three examples each. To add them after all, export them with --out, correct
    them, and run `recmem resubmit`.
    """
    from feature_store import Store
    from feature_store.addresses import without_secrets
    from feature_store.files.file_rows import UNREADABLE
    from feature_store.resubmission import write_rejected

    rows = Store.open(store).rejected().sort("table", "reason", "line", "row_number")
    if rows.is_empty():
        say("The store has no rejected rows.")
        return
    for (table, reason), group in rows.group_by("table", "reason", maintain_order=True):
        first = group.select("line", "row_number", "row").head(N_SHOWN).rows()
        shown = [
            (f"row {number} (from 0)" if line is None else f"line {line}", row[:SHOWN_CHARS])
            for line, number, row in first
        ]
        show_table(("where", "as received"), shown, title=f"{len(group):,} x {table}: {reason}", n_words=2)
    if out is not None:
        write_rejected(rows, out)
        say(f"Wrote {len(rows):,} rows to {out}.")
        shown_store = without_secrets(store)
        say(f"Correct the values under `row`, then run `recmem resubmit --store {shown_store} --rows {out}`.")
        if rows["row"].str.starts_with(f'{{"{UNREADABLE}"').any():
            say(f'Where `row` holds an "{UNREADABLE}", replace it by the columns of the row and their values.')


def resubmit(
    store: StoreFolder,
    rows: Annotated[
        Path, typer.Option(metavar="PATH", help="The file from `recmem rejected --out`, with its rows corrected.")
    ],
) -> None:
    """Add corrected rows to a store.

    Rows that are now valid move from `rejected` to their table; the others stay, each with its reason.
    """
    from feature_store import Store
    from feature_store.files.file_rows import UNREADABLE
    from feature_store.resubmission import read_corrected
    from feature_store.resubmission import resubmit as resubmit_rows

    corrected = read_corrected(rows)
    result = resubmit_rows(Store.open(store), corrected)
    for receipt in result.receipts:
        say(str(receipt))
    n_unread = sum(set(line["row"]) == {UNREADABLE} for line in corrected)
    if n_unread:
        complain(
            f'{n_unread:,} rows are still the text of a line that could not be read. Replace "{UNREADABLE}" under '
            "`row` by the columns of the row and their values."
        )
    say(f"{result.n_accepted:,} of {result.n_in:,} rows accepted, {result.n_still_bad:,} still rejected.")
