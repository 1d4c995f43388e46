"""`recmem memory`: what is remembered of a user."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.console import say, show_table
from recmem.cli.explain import AsOf, parsed
from recmem.cli.score import ModelSource, OnlineUrl, StorePath


def memory(
    model: ModelSource,
    user: Annotated[str, typer.Option(help="The user's id.")],
    store: StorePath = None,
    online: OnlineUrl = None,
    timestamp: AsOf = None,
) -> None:
    """Show what is remembered of a user, the newest first, as a person reads it."""
    moment = parsed(timestamp)
    import recmem

    remembered = recmem.load(model, store=store, online=online).memory(user, timestamp=moment)
    if remembered.is_empty():
        say(f"Nothing is remembered of {user}: no event is known by then.")
        return
    rows = [[str(cell) if cell is not None else "" for cell in row] for row in remembered.iter_rows()]
    show_table(remembered.columns, rows, title=f"{len(rows)} memories of {user}", n_words=2)
