"""MIND's histories as events: each click once, in order, and known no earlier than the file shows that it was.

A history has an order and no times, and every row of a user repeats it. Its clicks are events that

- happened (`timestamp`) in the seconds before the first impression of all files, one a second, in their order: before
  everything that a training learns to rank or is measured on;
- are known (`available_at`) from the time of the user's first row that has them. Before that no memory, counter or
  item-item model reads them, so nothing that the file does not show at a time is used at that time.

So a training reads them as memory and never as targets: when they happened, nothing of their user is known that could
predict them. A later row of the user may have more than the rows before it: what is neither in those nor clicked in
them is dated in the milliseconds before that row, known from it on, and weighs 0, so that nothing learns from its time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from feature_store.importers.table_files import TIME

HISTORY_SCHEMA = pl.Schema({"user_id": pl.String(), "history": pl.String(), "timestamp": TIME})
EVENT_SCHEMA = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "timestamp": TIME, "event": pl.String()}
    | {"available_at": TIME, "weight": pl.Float64()}
)
SECOND_US = 1_000_000
MILLISECOND_US = 1_000


def distinct_histories(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Each history of a user once, with the time of the first row that has it; the empty one too."""
    if not parts:
        return HISTORY_SCHEMA.to_frame()
    rows = pl.concat([part.select(HISTORY_SCHEMA.names()) for part in parts])
    return rows.group_by("user_id", "history", maintain_order=True).agg(pl.col("timestamp").min())


def history_events(histories: pl.DataFrame, clicks: pl.DataFrame) -> pl.DataFrame:
    """The clicks of histories as events: user_id, item_id, timestamp, event, available_at, weight.

    `histories` are those of `distinct_histories`, and `clicks` those of impressions: user_id, item_id, timestamp.
    """
    if histories.is_empty():
        return EVENT_SCHEMA.to_frame()
    log_begin = histories["timestamp"].min()
    ordered = histories.sort("user_id", "timestamp", pl.col("history").str.len_bytes())
    is_alone = pl.len().over("user_id") == 1
    first = _clicks_in_order(ordered.filter(is_alone))
    more = _growing(ordered.filter(~is_alone), clicks)
    events = pl.concat([first.with_columns(is_first=pl.lit(True)), more])
    end = pl.when("is_first").then(pl.lit(log_begin)).otherwise("available_at")
    step = pl.when("is_first").then(SECOND_US).otherwise(MILLISECOND_US)
    before = pl.duration(microseconds=pl.col("n_from_end") * step)
    weight = pl.when(~pl.col("is_first")).then(0.0)
    return events.with_columns(timestamp=end - before, event=pl.lit("click"), weight=weight).select(
        pl.col(name).cast(dtype) for name, dtype in EVENT_SCHEMA.items()
    )


def _clicks_in_order(histories: pl.DataFrame) -> pl.DataFrame:
    """A row per click, in order, with how many places it stands before the history's end, from 1."""
    clicks = histories.select(
        "user_id", pl.col("timestamp").alias("available_at"), pl.col("history").str.split(" ").alias("item_id")
    ).with_row_index("history")
    clicks = clicks.explode("item_id").filter(pl.col("item_id").fill_null("") != "")
    n_from_end = pl.int_range(pl.len(), 0, -1).over("history")
    return clicks.with_columns(n_from_end=n_from_end.cast(pl.Int64)).drop("history")


def _growing(histories: pl.DataFrame, clicks: pl.DataFrame) -> pl.DataFrame:
    """As `_clicks_in_order`, of users with several histories: of each what is new in it; `is_first` for the first."""
    own = clicks.join(histories.select("user_id").unique(), on="user_id", how="semi")
    clicked = {
        user: part.sort("timestamp").rows()
        for (user,), part in own.select("user_id", "item_id", "timestamp").group_by("user_id")
    }
    found: list[pl.DataFrame] = [_clicks_in_order(histories.head(0)).with_columns(is_first=pl.lit(True))]
    rows: list[tuple[object, ...]] = []
    for (user,), part in histories.group_by("user_id", maintain_order=True):
        known: Counter[str] = Counter()
        earlier = iter(clicked.get(user, []))
        waiting = next(earlier, None)
        for number, (history, time) in enumerate(part.select("history", "timestamp").iter_rows()):
            while waiting is not None and waiting[2] < time:
                known[waiting[1]] += 1
                waiting = next(earlier, None)
            new = _new_clicks(history, known)
            rows += [(user, time, item, len(new) - place, number == 0) for place, item in enumerate(new)]
    if rows:
        found.append(pl.DataFrame(rows, schema=found[0].schema, orient="row"))
    return pl.concat(found)


def _new_clicks(history: str, known: Counter[str]) -> list[str]:
    """The clicks of a history beyond the known ones, in order; they are added to the known ones."""
    times: Counter[str] = Counter()
    new = []
    for item in filter(None, history.split(" ")):
        times[item] += 1
        if times[item] > known[item]:
            known[item] += 1
            new.append(item)
    return new
