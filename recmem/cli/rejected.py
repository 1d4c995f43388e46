"""`recmem rejected` and `recmem resubmit`: the rows that a store refused, out and back in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import say, show_table

StoreFolder = Annotated[str, typer.Option(help="The store: a folder, or an object store's URL.")]
N_SHOWN = 3
"""Rows that are shown of each reason."""
_WIDEST = 100


def rejected(
    store: StoreFolder,
    out: Annotated[
        Path | None, typer.Option(help="Write all of them as JSON lines, to be mended.", show_default="none is written")
    ] = None,
) -> None:
    """Show the rows that could not be used, by reason; write them out to be mended."""
    from feature_store import Store
    from feature_store.resubmission import write_rejected

    rows = Store.open(store).rejected().sort("table", "reason", "row_number")
    if rows.is_empty():
        say("No row was rejected.")
        return
    for (table, reason), group in rows.group_by("table", "reason", maintain_order=True):
        shown = [(str(number), row[:_WIDEST]) for number, row in group.select("row_number", "row").head(N_SHOWN).rows()]
        show_table(("row", "as it came"), shown, title=f"{len(group):,} x {table}: {reason}", n_words=2)
    if out is not None:
        write_rejected(rows, out)
        say(
            f"{len(rows):,} rows in {out}. Mend what stands under `row`, then: recmem resubmit --store {store} --rows {out}"
        )


def resubmit(
    store: StoreFolder,
    rows: Annotated[Path, typer.Option(help="The file that `recmem rejected --out` wrote, mended.")],
) -> None:
    """Put mended rows in: what is good now goes into its table and out of `rejected`; the rest stays, with reasons."""
    from feature_store import Store
    from feature_store.resubmission import read_corrected
    from feature_store.resubmission import resubmit as put_in

    receipt = put_in(Store.open(store), read_corrected(rows))
    for told in receipt.receipts:
        say(str(told))
    say(f"{receipt.n_accepted:,} of {receipt.n_in:,} rows mended, {receipt.n_still_bad:,} still rejected.")
