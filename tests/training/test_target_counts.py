"""How many targets each weight acts on: counted as training counts them, with a warning where there are few."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from feature_store import EventLog, SignalConfig
from training.queries import queries_between
from training.target_counts import TargetCount, TargetCounts, target_counts, target_warnings

SIGNALS = SignalConfig()
ITEMS = pl.DataFrame({"item_id": [f"i{number}" for number in range(40)]})


def log(*rows: tuple[str, str, int, str]) -> pl.DataFrame:
    """Events of (user, item, day, name)."""
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day", "event"], orient="row")
    return frame.select(
        "user_id",
        "item_id",
        timestamp=pl.datetime(2026, 1, 1, time_zone="UTC") + pl.duration(days="day"),
        event=pl.col("event"),
        value=pl.lit(None, pl.Float64),
        event_id=pl.lit(None, pl.String),
        cancels=pl.lit(None, pl.String),
        available_at=pl.lit(None, pl.Datetime("us", "UTC")),
    )


def funnel(n_users: int) -> pl.DataFrame:
    """Each user views two items, buys the second a day later, and the first user buys one that was not viewed."""
    rows = []
    for number in range(n_users):
        user = f"u{number}"
        rows += [(user, "i1", 0, "view"), (user, "i2", 1, "view"), (user, "i2", 2, "purchase")]
    return log(*rows, ("u0", "i3", 3, "purchase"))


def test_a_purchase_after_a_view_is_no_target_and_one_without_is() -> None:
    counts = target_counts(ITEMS, funnel(30), ["Purchase=5"], SIGNALS)
    # Of the views, the first of each user has no history to learn from.
    assert counts == TargetCounts((TargetCount("Purchase", 5.0, 31, 1),), n_others=30)
    assert str(counts.weighted[0]) == "'Purchase' weighs 5 (1 target of 31 events)"


def test_where_repeats_count_a_purchase_after_a_view_is_a_target() -> None:
    counts = target_counts(ITEMS, funnel(30), ["purchase=5"], SIGNALS, repeats=True)
    assert counts == TargetCounts((TargetCount("purchase", 5.0, 31, 31),), n_others=30)


def test_names_that_do_not_occur_or_are_not_positive_are_not_counted() -> None:
    events = pl.concat([funnel(2), log(("u1", "i9", 9, "refund"))])
    assert target_counts(ITEMS, events, ["buy=5", "refund=2"], SIGNALS).weighted == ()
    assert target_counts(ITEMS, events, [], SIGNALS) == TargetCounts()


def test_of_a_view_and_a_purchase_at_one_time_the_heavier_one_is_the_target() -> None:
    events = log(("u", "i1", 0, "view"), ("u", "i2", 1, "view"), ("u", "i2", 1, "purchase"))
    (count,) = target_counts(ITEMS, events, ["purchase=5"], SIGNALS).weighted
    assert (count.n_targets, count.n_events) == (1, 1)


def test_first_baskets_count_events_of_unknown_items_and_cancelled_ones_do_not() -> None:
    basket = log(("u", "i1", 0, "view"), ("u", "i2", 0, "view"), ("u", "elsewhere", 1, "view"), ("u", "i3", 2, "view"))
    cancelled = basket.with_columns(event_id=pl.Series(["a", "b", "c", "d"]))
    cancellation = log(("u", "i3", 3, "view")).with_columns(cancels=pl.lit("d"))
    (count,) = target_counts(ITEMS, pl.concat([cancelled, cancellation]), ["view=2"], SIGNALS).weighted
    assert (count.n_targets, count.n_events) == (2, 2)


@pytest.mark.parametrize("repeats", [False, True])
def test_the_targets_are_those_that_training_learns_from(repeats: bool) -> None:
    random = np.random.default_rng(0)
    rows = [
        (f"u{random.integers(12)}", f"i{random.integers(40)}", int(random.integers(25)), str(name))
        for name in random.choice(["view", "purchase", "skip", "frobbed"], 600)
    ]
    events = log(*rows)
    counts = target_counts(ITEMS, events, ["view=1", "purchase=1"], SIGNALS, repeats=repeats)
    decided = SIGNALS.decided(events)
    read = EventLog.from_frame(events, events["user_id"].unique().sort(), ITEMS["item_id"], decided)
    end = int(read.times.max())
    warm = queries_between(read, -1, end, repeats=repeats)
    first = queries_between(read, -1, end, with_history=False)
    n_first = int(first.positives.lengths[first.positives.lengths > 1].sum())
    assert sum(count.n_targets for count in counts.weighted) + counts.n_others == len(warm.positives.values) + n_first


def test_a_weight_with_little_to_act_on_is_a_warning_that_says_what_to_do() -> None:
    (warning,) = target_warnings(target_counts(ITEMS, funnel(30), ["purchase=5", "view=0.5"], SIGNALS))
    assert warning.startswith(
        "event: the weight of 'purchase' acts on 1 of its 31 events (3%): targets are a user's first contacts with an "
        "item, and most of these events come after another one. "
    )
    assert "docs/weights_and_positions.md" in warning
    few = TargetCounts((TargetCount("buy", 5.0, 20, 1), TargetCount("like", 2.0, 1000, 1), TargetCount("x", 2, 19, 0)))
    shares = [sentence.partition("(")[2].partition(")")[0] for sentence in target_warnings(few)]
    assert shares == ["under 1%"]  # a twentieth is enough, and of few events nothing is said
