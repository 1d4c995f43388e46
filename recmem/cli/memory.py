"""`recmem memory`: the events in a user's memory."""

from __future__ import annotations

from recmem.cli.console import say, show_table
from recmem.cli.options import AsOf, ModelSource, OnlineUrl, StorePath, User, parse_time
from recmem.cli.printable import one_line


def memory(
    model: ModelSource,
    user: User,
    store: StorePath = None,
    online: OnlineUrl = None,
    timestamp: AsOf = None,
) -> None:
    """Show a user's memory, newest first.

    The memory holds the newest events that the model uses, 50 by default, and after these what else it remembers of the
    user, such as declared interests.
    """
    time = parse_time(timestamp, option="--timestamp")
    import recmem

    remembered = recmem.load(model, store=store, online=online).memory(user, timestamp=time)
    if remembered.is_empty():
        say(f"The memory of {one_line(user)} is empty: no events before this time. Check --user and --timestamp.")
        return
    rows = [[str(cell) if cell is not None else "" for cell in row] for row in remembered.iter_rows()]
    headings = [column.replace("_", " ") for column in remembered.columns]
    n_events = remembered["item_id"].count()
    n_others = len(rows) - n_events
    count = f"{n_events} events" + (f", {n_others} beside events" if n_others else "")
    show_table(headings, rows, title=f"Memory of {user}: {count}", n_words=2)
