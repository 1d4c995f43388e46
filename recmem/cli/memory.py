"""`recmem memory`: what a user's memory holds."""

from __future__ import annotations

from recmem.cli.console import say, show_table
from recmem.cli.options import AsOf, ModelSource, OnlineUrl, StorePath, User, parse_time


def memory(
    model: ModelSource,
    user: User,
    store: StorePath = None,
    online: OnlineUrl = None,
    timestamp: AsOf = None,
) -> None:
    """Show a user's memory: the items that they interacted with, newest first."""
    time = parse_time(timestamp, option="--timestamp")
    import recmem

    remembered = recmem.load(model, store=store, online=online).memory(user, timestamp=time)
    if remembered.is_empty():
        say(f"The memory of {user} is empty: no events before this time.")
        return
    rows = [[str(cell) if cell is not None else "" for cell in row] for row in remembered.iter_rows()]
    show_table(remembered.columns, rows, title=f"Memory of {user}: {len(rows)} events", n_words=2)
