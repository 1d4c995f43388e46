"""`recmem rejected` and `recmem resubmit`: rows that a store refused, written out, corrected and added again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import say, show_table
from recmem.cli.options import StoreFolder

N_SHOWN = 3
"""Rows shown for each reason."""
SHOWN_CHARS = 100


def rejected(
    store: StoreFolder,
    out: Annotated[
        Path | None, typer.Option(help="Write all of them to this JSON lines file.", show_default="none")
    ] = None,
) -> None:
    """Show the rows that a store rejected, by reason, or write them to a file to correct them."""
    from feature_store import Store
    from feature_store.resubmission import write_rejected

    rows = Store.open(store).rejected().sort("table", "reason", "row_number")
    if rows.is_empty():
        say("No rejected rows.")
        return
    for (table, reason), group in rows.group_by("table", "reason", maintain_order=True):
        first = group.select("row_number", "row").head(N_SHOWN).rows()
        shown = [(str(number), row[:SHOWN_CHARS]) for number, row in first]
        show_table(("row", "as received"), shown, title=f"{len(group):,} x {table}: {reason}", n_words=2)
    if out is not None:
        write_rejected(rows, out)
        say(f"Wrote {len(rows):,} rows to {out}.")
        say(f"Correct the values under `row`, then run: recmem resubmit --store {store} --rows {out}")


def resubmit(
    store: StoreFolder,
    rows: Annotated[Path, typer.Option(help="The file written by `recmem rejected --out`, with the rows corrected.")],
) -> None:
    """Add corrected rows to a store.

    Rows that are valid now go into their table and leave `rejected`; the others stay there, with their reasons.
    """
    from feature_store import Store
    from feature_store.resubmission import read_corrected
    from feature_store.resubmission import resubmit as resubmit_rows

    result = resubmit_rows(Store.open(store), read_corrected(rows))
    for receipt in result.receipts:
        say(str(receipt))
    say(f"{result.n_accepted:,} of {result.n_in:,} rows accepted, {result.n_still_bad:,} still rejected.")
