"""The model in use: every row comes back once and in order, and nothing at or after a time changes a score at it."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recmem
from debian_model import SCORES, model_of, same_scores, trained_model
from feature_store import DataError, Store
from recmem.dataset.candidate_frame import read_candidates
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.ranking.pair_features import PairFeatures
from recmem.serving import scoring
from recmem.serving.model import Model
from recmem.serving.scoring import MATCH_OUTPUTS, RANK_OUTPUTS
from tolerances import close

# Rows


def test_every_row_comes_back_once_in_order_with_its_columns_untouched(model: Model, candidates: pl.DataFrame) -> None:
    mixed = candidates.with_row_index("place").with_columns(
        price=pl.Series(np.resize([1.5, np.nan, np.inf, -np.inf], len(candidates))),
        nothing=pl.lit(None),
        tags=pl.Series([["a", None]] * len(candidates)),
        kind=pl.Series(["x"] * len(candidates), dtype=pl.Categorical),
    )
    for scored, added in ((model.rank(mixed), RANK_OUTPUTS), (model.match(mixed), MATCH_OUTPUTS)):
        assert scored.columns == [*mixed.columns, *added]
        assert scored.select(mixed.columns).equals(mixed)
        assert scored.select(pl.col(added).is_finite().all()).row(0) == (True,) * len(added)


def test_an_empty_frame_comes_back_with_the_columns(model: Model, candidates: pl.DataFrame) -> None:
    scored = model.rank(candidates.clear())
    assert scored.is_empty()
    assert scored.schema == model.rank(candidates).schema
    assert model.match(candidates.clear()).schema == model.match(candidates).schema


# What the model has learned from


def test_rows_no_newer_than_what_was_learned_are_counted_and_match_warns_of_them(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    pair = trained_model().events.head(1).select("user_id", "item_id")
    until = model.bundle.config.learned_until
    times = pl.Series("timestamp", [until - 1, until, until + 1]).cast(pl.Datetime("us", "UTC"))
    rows = pl.concat([pair] * 3).with_columns(times)
    assert model.match_with_report(rows).n_in_sample == 2
    assert model.rank_with_report(rows).n_in_sample == 2
    assert caplog.text == ""
    model.match(rows)
    assert "2 rows are in sample: the model has learned from all events up to" in caplog.text
    assert "recmem.training_features" in caplog.text
    caplog.clear()
    model.match(rows[2:])
    model.match(pair)  # now is after the whole log
    assert caplog.text == ""


# What the store does not know


def test_unknown_user_is_scored_by_the_prior_and_counted(model: Model) -> None:
    strangers = pl.DataFrame({"user_id": ["nobody"] * 3, "item_id": trained_model().items["item_id"].head(3)})
    report = model.rank_with_report(strangers)
    scored = report.frame
    assert scored["similarity_max"].to_list() == [0.0, 0.0, 0.0]
    assert scored["match_raw"].n_unique() == 3
    assert report.unmatched == UnmatchedRows(unknown_users=3)
    assert model.match_with_report(strangers.head(1)).unmatched == UnmatchedRows(unknown_users=1)


def test_unknown_item_scores_by_its_text_as_the_same_text_in_the_store(model: Model) -> None:
    known = trained_model().items.head(10)
    user = trained_model().events["user_id"].mode()[0]
    texts = known.select(
        "title", "description", "section", user_id=pl.lit(user), item_id=pl.lit("new-") + pl.col("item_id")
    )
    new = model.match(texts)
    report = model.match_with_report(known.select("item_id", user_id=pl.lit(user)))
    old = report.frame
    assert report.unmatched.unknown_items_with_text == 0
    # Encoded in another batch, perhaps in bfloat16.
    close(new["similarity_max"].to_numpy(), old["similarity_max"].to_numpy(), "bfloat16")
    assert np.corrcoef(new["match_raw"].to_numpy(), old["match_raw"].to_numpy())[0, 1] > 0.999


def test_text_of_a_known_item_is_the_stores(model: Model) -> None:
    pair = pl.DataFrame({"user_id": ["nobody"], "item_id": [trained_model().items["item_id"][0]]})
    assert model.match(pair.with_columns(title=pl.lit("another")))["match_raw"][0] == model.match(pair)["match_raw"][0]


def test_texts_of_every_kind_are_scored_and_counted(model: Model) -> None:
    texts = ["", None, "🎧🎵", "word " * 10_000, "  ", "a\x00b", "plain", "plain"]
    user = trained_model().events["user_id"].mode()[0]
    frame = pl.DataFrame({"user_id": [user] * 8, "item_id": [f"new-{row}" for row in range(8)], "title": texts})
    report = model.rank_with_report(frame)
    scored = report.frame
    assert scored.select(pl.col(SCORES).is_finite().all()).row(0) == (True,) * len(SCORES)
    assert report.unmatched == UnmatchedRows(unknown_items_without_text=3, unknown_items_with_text=5)
    raw = scored["match_raw"].to_list()
    assert raw[0] == raw[1] == raw[4]
    assert raw[6] == raw[7] != raw[2]


def test_item_without_any_text_column_is_scored_as_the_empty_text(model: Model) -> None:
    bare = pl.DataFrame({"user_id": ["nobody"], "item_id": ["new"]})
    assert model.match(bare)["match_raw"][0] == model.match(bare.with_columns(title=pl.lit("")))["match_raw"][0]


@pytest.mark.parametrize("stored_as", [pl.Int64, pl.String])
@pytest.mark.parametrize("given_as", [pl.Int32, pl.UInt64, pl.String, pl.Categorical, pl.Float64])
def test_ids_of_another_type_name_the_same_and_come_back_as_they_came(
    stored_as: type[pl.DataType], given_as: type[pl.DataType]
) -> None:
    number = pl.col("user_id").rank("dense").cast(stored_as)
    items = trained_model().items.with_columns(item_id=pl.int_range(pl.len()).cast(stored_as))
    item = pl.col("item_id").rank("dense").cast(pl.Int64) - 1
    events = trained_model().events.with_columns(user_id=number, item_id=item.cast(stored_as))
    model = model_of(events, items=items)
    requested = pl.DataFrame({"user_id": [3, 3, 4], "item_id": [1, 20, 7]})
    as_text = given_as == pl.Categorical
    ids = requested.cast(pl.String).cast(given_as) if as_text else requested.cast(given_as)
    report = model.rank_with_report(ids)
    scored = report.frame
    assert scored.select("user_id", "item_id").equals(ids)
    assert report.unmatched == UnmatchedRows()
    same_scores(scored, model.rank(requested.cast(stored_as)))
    assert scored["similarity_max"].min() > 0  # type: ignore[operator]


# Time


def test_without_a_time_the_clock_just_after_the_newest_event_counts(model: Model, candidates: pl.DataFrame) -> None:
    newest = trained_model().events.select(pl.max_horizontal("timestamp", "available_at").max()).item()
    ids = candidates.select("user_id", "item_id")
    absent = model.rank(ids)
    for time in (newest + timedelta(microseconds=1), newest + timedelta(microseconds=1, days=0)):
        explicit = model.rank(ids.with_columns(timestamp=pl.lit(time)))
        assert explicit.select(SCORES).equals(absent.select(SCORES))
    null = model.rank(ids.with_columns(timestamp=pl.lit(None)))
    assert null.select(SCORES).equals(absent.select(SCORES))
    assert absent["similarity_max"].max() > 0.5  # type: ignore[operator]


def test_a_null_time_in_single_rows_is_the_clock(model: Model, candidates: pl.DataFrame) -> None:
    some = candidates.with_columns(timestamp=pl.when(pl.int_range(pl.len()) % 2 == 0).then("timestamp"))
    scored = model.rank(some)
    null = pl.col("timestamp").is_null()
    same_scores(scored.filter(null), model.rank(some.filter(null)))
    assert scored.filter(null)["timestamp"].null_count() == some["timestamp"].null_count() > 0


def test_times_of_any_form_name_the_same_time(model: Model, candidates: pl.DataFrame) -> None:
    zoned = candidates.with_columns(pl.col("timestamp").dt.cast_time_unit("us"))
    expected = model.rank(zoned).select(SCORES)
    forms = {
        "naive": pl.col("timestamp").dt.replace_time_zone(None),
        "another zone": pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo"),
        "text": pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        "epoch": pl.col("timestamp").dt.epoch("s"),
    }
    for name, form in forms.items():
        given = zoned.with_columns(form)
        scored = model.rank(given)
        assert scored.select(SCORES).equals(expected), name
        assert scored["timestamp"].equals(given["timestamp"])


def test_far_future_and_far_past_are_scored(model: Model, candidates: pl.DataFrame) -> None:
    ids = candidates.select("user_id", "item_id")
    future = model.rank(ids.with_columns(timestamp=pl.lit(datetime(2200, 1, 1, tzinfo=UTC))))
    close(future["match_raw"].to_numpy(), model.rank(ids)["match_raw"].to_numpy(), "exact")
    past = model.rank(ids.with_columns(timestamp=pl.lit(datetime(1700, 1, 1, tzinfo=UTC))))
    assert past["similarity_max"].max() == 0
    assert past.select(pl.col(SCORES).is_finite().all()).row(0) == (True,) * len(SCORES)


def test_memory_at_a_time_is_strictly_before_it(model: Model) -> None:
    events = trained_model().events.filter(pl.col("available_at").is_null()).sort("timestamp")
    user = events["user_id"].mode()[0]
    mine = trained_model().events.filter(pl.col("user_id") == user).sort("timestamp")
    for time in mine["timestamp"].unique():
        remembered = model.memory(user, time)
        known = mine.filter(
            pl.col("timestamp") < time, pl.col("available_at").is_null() | (pl.col("available_at") <= time)
        )
        expected = sorted(known.select("timestamp", "item_id").rows(), reverse=True)[:20]
        got = sorted(remembered.select("timestamp", "item_id").rows(), reverse=True)
        assert len(got) == min(len(known), 20)
        if known["available_at"].null_count() == len(known):
            assert got == expected


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


# A history of the caller's


def test_inline_history_equals_the_same_history_in_a_store() -> None:
    items = trained_model().items["item_id"].sample(7, seed=4).to_list()
    time = trained_model().events["timestamp"].max() + timedelta(days=1)  # type: ignore[operator]
    mine = pl.DataFrame(
        {
            "user_id": ["reader"] * 7,
            "item_id": items,
            "timestamp": [time - timedelta(microseconds=7 - place) for place in range(7)],
            "event": ["depends"] * 7,
        }
    )
    model = model_of(pl.concat([trained_model().events, mine], how="diagonal_relaxed"))
    requested = pl.DataFrame({"item_id": trained_model().items["item_id"], "timestamp": [time] * 60})
    logged = model.rank(requested.with_columns(user_id=pl.lit("reader")))
    report = model.rank_with_report(requested.with_columns(user_id=pl.lit("stranger"), history=pl.Series([items] * 60)))
    inline = report.frame
    assert inline.select(*SCORES, "rank").equals(logged.select(*SCORES, "rank"))
    assert report.unmatched.unknown_users == 0
    backwards = model.rank(requested.with_columns(user_id=pl.lit("stranger"), history=pl.Series([items[::-1]] * 60)))
    assert not backwards["score"].equals(logged["score"])


def test_inline_history_stands_in_for_the_log_and_null_reads_it(model: Model) -> None:
    user = trained_model().events["user_id"].mode()[0]
    item = trained_model().items["item_id"][0]
    base = pl.DataFrame({"user_id": [user] * 3, "item_id": [item] * 3})
    frame = base.with_columns(history=pl.Series([[], None, [item, "unheard-of", None]], dtype=pl.List(pl.String)))
    report = model.match_with_report(frame)
    scored = report.frame
    assert scored["similarity_max"][0] == 0
    close(scored["similarity_max"][2], 1.0, "grid")
    assert report.unmatched.unknown_history_items == 1
    close(scored["match_raw"][1], model.match(base)["match_raw"][1], "float32")


def test_two_histories_of_one_user_are_two_queries(model: Model) -> None:
    items = trained_model().items["item_id"]
    frame = pl.DataFrame(
        {"user_id": ["x"] * 4, "item_id": items.head(2).to_list() * 2, "history": [[items[5]]] * 2 + [[items[6]]] * 2}
    )
    ranked = model.rank(frame)
    assert sorted(ranked["rank"]) == [1, 1, 2, 2]


# Refusals


def test_all_that_is_wrong_with_a_frame_is_reported_at_once(model: Model) -> None:
    frame = pl.DataFrame({"user_id": ["a", None, "b"], "timestamp": ["soon", None, "2026-01-01"], "score": [1, 2, 3]})
    with pytest.raises(DataError) as refused:
        model.rank(frame)
    lines = str(refused.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "candidates.user_id", "candidates.item_id", "candidates.score", "candidates.timestamp",
    ]  # fmt: skip
    assert "got null (1 row, e.g. row 1, counting from 0)" in lines[0]
    assert "'soon' (1 row, e.g. row 0, counting from 0)" in lines[3]


@pytest.mark.parametrize("column", RANK_OUTPUTS)
def test_a_column_of_an_outputs_name_is_refused(model: Model, candidates: pl.DataFrame, column: str) -> None:
    with pytest.raises(DataError, match=rf"candidates.{column}: expected no column of this name"):
        model.rank(candidates.with_columns(pl.lit(1.0).alias(column)))


def test_match_lets_the_columns_through_that_only_rank_adds(model: Model, candidates: pl.DataFrame) -> None:
    assert "score" in model.match(candidates.with_columns(score=1.0)).columns


def test_what_is_no_frame_or_no_history_is_refused(model: Model, candidates: pl.DataFrame) -> None:
    with pytest.raises(DataError, match=r"candidates: expected a polars, pandas or Arrow frame, got builtins dict"):
        model.rank(candidates.to_dict())
    with pytest.raises(DataError, match=r"candidates.history: expected lists of item ids, got a column of String"):
        model.rank(candidates.with_columns(history=pl.lit("a, b")))
    with pytest.raises(DataError, match=r"candidates.user_id: expected ids as text or integers"):
        model.rank(candidates.with_columns(user_id=pl.lit([1])))


def test_loading_what_is_no_model_or_store_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model: expected a folder with bundle.json"):
        recmem.load(tmp_path)
    with pytest.raises(DataError, match=r"expected a store, got none"):
        recmem.load(trained_model().bundle, store=tmp_path)


def test_an_invalid_length_or_time_is_refused(model: Model) -> None:
    with pytest.raises(DataError, match="k: expected at least 1"):
        model.recommend(["a"], k=0)
    with pytest.raises(DataError, match="timestamp: expected a time, got 'soon'"):
        model.memory("a", "soon")


# Observe


@pytest.mark.parametrize("seed", range(4))
def test_observing_equals_a_rebuild_exactly(seed: int, candidates: pl.DataFrame) -> None:
    events = trained_model().events.sample(fraction=1.0, shuffle=True, seed=seed)
    if seed % 2:
        events = events.sort("timestamp")
    n_first = len(events) * 3 // 4
    model = model_of(events.head(n_first))
    rebuilt = model_of(events)
    model.rank(candidates)  # fits the item-item models, which must not outlive what they were fitted on
    model.rank(candidates.drop("timestamp"))
    receipt = model.observe(events.tail(len(events) - n_first))
    assert (receipt.n_new, receipt.n_rejected) == (len(events) - n_first, 0)
    assert model.rank(candidates).equals(rebuilt.rank(candidates))
    assert model.rank(candidates.drop("timestamp")).equals(rebuilt.rank(candidates.drop("timestamp")))
    users = events["user_id"].unique().sort().head(6)
    assert model.recommend(users).equals(rebuilt.recommend(users))
    assert model.memory(users[0]).equals(rebuilt.memory(users[0]))


def test_observing_equals_the_events_in_the_store_and_writes_nothing(tmp_path: Path, candidates: pl.DataFrame) -> None:
    copied = Path(shutil.copytree(trained_model().store, tmp_path / "store"))
    model = Model.load(trained_model().bundle, store=copied)
    versions = Store.open(copied).versions()
    new = pl.DataFrame(
        {
            "user_id": ["newcomer", "newcomer", "newcomer", None],
            "item_id": [*trained_model().items["item_id"].head(2), "unheard-of", "x"],
            "timestamp": ["2027-06-01", "2027-06-02T10:00", "2027-06-02", "2027-06-03"],
        }
    )
    observed = model.observe(pl.concat([new, new.head(1)]))
    assert Store.open(copied).versions() == versions
    kept = Store.open(copied).append_events(pl.concat([new, new.head(1)]))
    assert (observed.n_in, observed.n_new, observed.n_duplicate, observed.n_rejected) == (5, 3, 1, 1)
    assert (kept.n_in, kept.n_new, kept.n_duplicate, kept.n_rejected) == (5, 3, 1, 1)
    assert observed.reasons == kept.reasons
    rebuilt = Model.load(trained_model().bundle, store=copied)
    assert model.rank(candidates.drop("timestamp")).equals(rebuilt.rank(candidates.drop("timestamp")))
    assert model.memory("newcomer").equals(rebuilt.memory("newcomer"))
    assert model.memory("newcomer")["item_id"].to_list() == new["item_id"].head(2).to_list()[::-1]


def test_observing_the_same_again_changes_nothing(candidates: pl.DataFrame) -> None:
    model = trained_model().model()
    before = model.rank(candidates)
    receipt = model.observe(trained_model().events)
    assert (receipt.n_new, receipt.n_duplicate) == (0, len(trained_model().events))
    assert model.rank(candidates).equals(before)


def test_events_that_cannot_be_read_are_refused(model: Model) -> None:
    with pytest.raises(DataError, match=r"events.timestamp: expected the column"):
        model.observe(pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}))


# Without a store, and the package


def test_without_any_event_items_are_scored_by_their_texts(candidates: pl.DataFrame) -> None:
    model = model_of(trained_model().events.clear())
    scored = model.rank(candidates.drop("timestamp"))
    assert scored["similarity_max"].max() == 0
    assert scored["match_raw"].n_unique() > 10
    assert len(model.recommend(["nobody"], k=3)) == 3
    model.observe(trained_model().events)
    same_scores(model.rank(candidates), trained_model().model().rank(candidates))


def test_load_gives_the_model_of_a_bundle_folder() -> None:
    assert isinstance(recmem.load(trained_model().bundle), Model)


NEW_YEAR_S = 1_924_992_000
"""2031."""


@pytest.mark.parametrize(
    "time",
    [
        np.datetime64("2031-01-01"),
        np.datetime64("2031", "Y"),
        np.datetime64("2031-01-01T00:00", "ns"),
        pd.Timestamp("2031-01-01"),
        pd.Timestamp("2031-01-01T05:30", tz="Asia/Kolkata"),
        datetime(2031, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        date(2031, 1, 1),
        "2031-01-01",
        NEW_YEAR_S,
        float(NEW_YEAR_S),
        np.int64(NEW_YEAR_S * 1000),
        np.float64(NEW_YEAR_S),
        Decimal(NEW_YEAR_S),
        20310101,
    ],
)
def test_one_time_of_every_form_is_read(model: Model, time: Any) -> None:
    assert model.memory("curl", timestamp=time).equals(model.memory("curl", timestamp=datetime(2031, 1, 1)))
    assert model.recommend(["curl"], k=2, timestamp=time).equals(
        model.recommend(["curl"], k=2, timestamp=datetime(2031, 1, 1))
    )


@pytest.mark.parametrize(
    "time",
    [
        "yesterday",
        float("nan"),
        [1],
        object(),
        pd.NaT,
        pd.NA,
        np.datetime64("NaT"),
        np.datetime64("300000-01-01"),
        timedelta(days=1),
        True,
        2**200,
        datetime(9999, 1, 1),
    ],
)
def test_what_is_no_time_is_refused_in_words(model: Model, time: Any) -> None:
    with pytest.raises(DataError, match="timestamp: expected a time, got"):
        model.memory("curl", timestamp=time)


# Dates and ratings that are not what they seem


def test_one_event_dated_2099_changes_no_score_and_gives_a_warning(candidates: pl.DataFrame, tmp_path: Path) -> None:
    plain = candidates.drop("timestamp")
    model = trained_model().model()
    before = model.rank(plain)
    wrong = trained_model().events.head(1).with_columns(timestamp=pl.lit("2099-01-01"), available_at=None)
    receipt = model.observe(wrong)
    assert receipt.n_new == 1
    assert any("rows lie after the present, e.g. row 0: 2099-01-01" in warning for warning in receipt.warnings)
    assert model.rank(plain).equals(before)
    user = wrong["user_id"][0]
    assert model.memory(user)["timestamp"].dt.year().max() != 2099
    assert model.memory(user, timestamp="2100-01-01")["timestamp"].dt.year().max() == 2099
    copied = Path(shutil.copytree(trained_model().store, tmp_path / "store"))
    Store.open(copied).append_events(wrong)
    assert Model.load(trained_model().bundle, store=copied).rank(plain).equals(before)


def test_loading_warns_of_dates_that_do_not_move_the_clock(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained_model().model()
    assert "clock" not in caplog.text
    copied = Path(shutil.copytree(trained_model().store, tmp_path / "store"))
    Store.open(copied).append_events(trained_model().events.head(1).with_columns(timestamp=pl.lit("2099-01-01")))
    Model.load(trained_model().bundle, store=copied)
    assert "1 of the log's changes lie far ahead of the others and of the present" in caplog.text


@pytest.mark.parametrize(
    ("cells", "dtype", "words"),
    [
        (20270101, pl.Int64, "read as dates in digits"),
        (1_700_000, pl.Int64, "12 of 12 rows lie before 1990"),
        (1.7e9, pl.Float32, "32-bit floats cannot hold"),
        (1_700_000_000, pl.Int64, ""),
    ],
)
def test_timestamps_of_candidates_that_look_wrong_are_logged(
    model: Model, candidates: pl.DataFrame, caplog: pytest.LogCaptureFixture, cells: float, dtype: Any, words: str
) -> None:
    model.match(candidates.head(12).with_columns(timestamp=pl.lit(cells, dtype)))
    assert caplog.text.count("candidates.timestamp") == (1 if words else 0)
    assert words in caplog.text


def test_observed_events_of_unknown_items_are_kept_and_told() -> None:
    model = trained_model().model()
    known = trained_model().items["item_id"][0]
    rows = pl.DataFrame(
        {"user_id": ["new"] * 3, "item_id": [known, f"{known} ", "gone"], "timestamp": ["2026-06-01"] * 3}
    )
    receipt = model.observe(rows)
    assert (receipt.n_new, receipt.n_rejected) == (3, 0)
    (warning,) = receipt.warnings
    assert warning.startswith("item_id: 2 of 3 rows are unmatched: the items that were loaded lack theirs, such as ")
    assert repr(f"{known} ") in warning
    assert model.observe(rows.head(1)).warnings == ()


@pytest.mark.parametrize("time", [0, -1, 1_700_000, "1970-01-01"])
def test_one_time_before_1990_is_read_and_logged(model: Model, caplog: pytest.LogCaptureFixture, time: Any) -> None:
    assert model.memory("bash", timestamp=time).is_empty()
    assert f"read from {time!r}, lies before 1990" in caplog.text
    caplog.clear()
    model.memory("bash", timestamp="2024-01-01")
    assert caplog.text == ""


def test_one_star_without_an_event_is_remembered_as_negative_in_tables_and_when_observed(tmp_path: Path) -> None:
    items = trained_model().items["item_id"].head(3)
    rows = pl.DataFrame(
        {"user_id": ["new"] * 3, "item_id": items, "timestamp": ["2027-06-01", "2027-06-02", "2027-06-03"]}
    ).with_columns(value=pl.Series([1.0, 3.0, 5.0]))
    model = trained_model().model()
    receipt = model.observe(rows)
    assert model.memory("new")["kind"].to_list() == ["positive", "neutral", "negative"]
    assert any("3 of 3 rows have a value, such as 1, and no event" in warning for warning in receipt.warnings)
    copied = Path(shutil.copytree(trained_model().store, tmp_path / "store"))
    assert Store.open(copied).append_events(rows).warnings == receipt.warnings
    assert Model.load(trained_model().bundle, store=copied).memory("new").equals(model.memory("new"))
    named = rows.with_columns(event=pl.lit("purchase"), user_id=pl.lit("other"))
    model.observe(named)
    assert set(model.memory("other")["kind"]) == {"positive"}
