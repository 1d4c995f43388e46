"""Frames of candidates, scored: every row comes back once and in order, whatever the store knows of it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from debian_model import SCORES, model_of, same_scores, trained_model
from feature_store import DataError
from own_feature import FEATURES, model_with
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.unmatched_rows import UnmatchedRows
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


# Features of the caller's own


def test_rows_in_which_a_feature_counts_as_missing_are_flagged_and_counted(
    model: Model, candidates: pl.DataFrame
) -> None:
    own = model_with(*FEATURES)
    given = candidates.head(4).with_columns(
        ctr=pl.Series([0.5, None, float("nan"), 1.0]), device=pl.Series(["app", "web", "web", "fridge"])
    )
    report = own.rank_with_report(given)
    assert report.lacks_features is not None
    assert report.lacks_features.tolist() == [False, True, True, True]
    assert report.unmatched == UnmatchedRows(missing_features=3)
    assert own.match_with_report(given).lacks_features is None
    assert model.rank_with_report(given).lacks_features is None


def test_features_are_read_with_reasons_too(candidates: pl.DataFrame) -> None:
    own = model_with(*FEATURES)
    for explain in (0, 2):
        with pytest.raises(DataError, match=r"candidates.ctr: expected the column, which is a feature of this model"):
            own.rank(candidates.head(4), explain=explain)


def test_a_feature_that_is_named_like_a_column_of_reasons_cannot_be_explained(candidates: pl.DataFrame) -> None:
    own = model_with(CandidateFeature("match_reason_2"))
    given = candidates.head(4).with_columns(match_reason_2=pl.lit(1.0))
    assert own.rank(given, explain=1).columns[-1] == "reasons"
    with pytest.raises(DataError, match=r"explain: expected none, because 'match_reason_2' is a feature .*, got 2"):
        own.rank(given, explain=2)


def test_own_columns_that_are_named_like_those_of_reasons_are_refused_with_reasons_alone(
    model: Model, candidates: pl.DataFrame
) -> None:
    given = candidates.head(4).with_columns(score_reason_1=pl.lit("mine"), match_reason_3=pl.lit("mine"))
    assert model.rank(given)["score_reason_1"].to_list() == ["mine"] * 4
    with pytest.raises(DataError, match=r"candidates.score_reason_1: expected no column of this name, got one"):
        model.rank(given, explain=1)


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
    with pytest.raises(DataError, match=r"candidates: expected a polars, pandas or Arrow frame, got dict"):
        model.rank(candidates.to_dict())
    with pytest.raises(DataError, match=r"candidates.history: expected lists of item ids, got a column of String"):
        model.rank(candidates.with_columns(history=pl.lit("a, b")))
    with pytest.raises(DataError, match=r"candidates.user_id: expected ids as text or integers"):
        model.rank(candidates.with_columns(user_id=pl.lit([1])))
