"""The model in use: nothing at or after a time changes a score at it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from debian_model import model_of, same_scores, trained_model
from recmem.dataset.candidate_frame import read_candidates
from recmem.ranking.pair_features import PairFeatures
from recmem.serving import scoring
from recmem.serving.model import Model
from tolerances import close


def features_at(model: Model, frame: pl.DataFrame) -> PairFeatures:
    read = read_candidates(frame, model.dataset, ())
    return scoring.pairs_of(model.matcher, read, np.arange(len(read.queries)))


def impressions_of(events: pl.DataFrame) -> pl.DataFrame:
    """Every event as a click, and a showing of another item beside it, which the event alone decides on."""
    shown = events.select("user_id", "item_id", "timestamp", impression_id=pl.format("{}-{}", "user_id", "timestamp"))
    ids = trained_model().items["item_id"]
    other = shown.with_columns(item_id=ids.gather(shown["item_id"].hash() % len(ids)), label=pl.lit(0))
    both = pl.concat([shown.with_columns(label=pl.lit(1)), other])
    return both.unique(["impression_id", "item_id"], maintain_order=True)


@settings(max_examples=15)
@given(data=st.data())
def test_no_event_at_or_after_a_time_changes_anything_at_it(data: st.DataObject) -> None:
    events = trained_model().events.sort("timestamp", "user_id", "item_id")
    time = events["timestamp"][data.draw(st.integers(len(events) // 4, len(events) - 1), label="time")]
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    future = pl.col("timestamp") >= time
    later = events.filter(future)
    kept = later.filter(
        pl.Series(random.random(len(later)) < data.draw(st.sampled_from([0.0, 0.5, 1.0]), label="kept"))
    )
    shuffled = kept.with_columns(
        item_id=kept["item_id"].gather(random.permutation(len(kept))),
        event=pl.when(pl.Series(random.random(len(kept)) < 0.5)).then(pl.lit("skip")).otherwise("event"),
    )
    drawn = events.sample(30, with_replacement=True, seed=int(random.integers(1 << 30)))
    delay = pl.Series(random.integers(0, 3, 30)) * timedelta(days=200)
    added = drawn.with_columns(
        timestamp=time + delay, user_id=pl.when(delay > timedelta(0)).then(pl.lit("0-new")).otherwise("user_id")
    )
    late = drawn.with_columns(timestamp=time - timedelta(days=3), available_at=time + timedelta(microseconds=1))
    changed = pl.concat([events.filter(~future), shuffled, added, late])
    candidates = pl.DataFrame(
        {
            "user_id": np.repeat(events["user_id"].unique().sort().head(6).to_numpy(), 8),
            "item_id": np.resize(trained_model().items["item_id"].to_numpy(), 48),
            "timestamp": [time] * 48,
        }
    )
    before = model_of(events, impressions_of(events))
    after = model_of(changed, impressions_of(pl.concat([events.filter(~future), shuffled, added])))
    expected = features_at(before, candidates)
    found = features_at(after, candidates)
    assert expected.values.keys() == found.values.keys()
    assert {"click_through", "follow", "trend", "user_gap", "match_raw"} <= found.values.keys()
    for name in expected.values:
        close(found.values[name], expected.values[name], "exact")
    assert after.rank(candidates).equals(before.rank(candidates))
    users = candidates["user_id"].unique().sort()
    assert after.recommend(users, k=5, timestamp=time).equals(before.recommend(users, k=5, timestamp=time))


def test_without_any_event_items_are_scored_by_their_texts(candidates: pl.DataFrame) -> None:
    model = model_of(trained_model().events.clear())
    scored = model.rank(candidates.drop("timestamp"))
    assert scored["similarity_max"].max() == 0
    assert scored["match_raw"].n_unique() > 10
    assert len(model.recommend(["nobody"], k=3)) == 3
    model.observe(trained_model().events)
    same_scores(model.rank(candidates), trained_model().model().rank(candidates))
