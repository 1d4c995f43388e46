"""The reasons of each row: the same parts as `explain` gives, strongest first, adding up to each score."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from feature_store import DataError
from recmem.serving.model import Model
from recmem.serving.row_reasons import MOST_REASONS, reason_names


@pytest.fixture(scope="module")
def pairs(model: Model) -> pl.DataFrame:
    users = pl.DataFrame({"user_id": [*model.dataset.users.head(3).to_list(), "nobody"]})
    return users.join(pl.DataFrame({"item_id": model.dataset.catalogue.ids.head(6)}), how="cross")


@pytest.mark.parametrize("n_reasons", [1, 3, MOST_REASONS])
def test_the_parts_of_each_row_add_up_to_its_scores(model: Model, pairs: pl.DataFrame, n_reasons: int) -> None:
    ranked = model.rank(pairs, explain=n_reasons)
    assert ranked.drop(reason_names(n_reasons, ranks=True)).equals(model.rank(pairs))
    for row in ranked.iter_rows(named=True):
        reasons = json.loads(row["reasons"])
        for scale in ("match_raw", "score"):
            total = sum(part["contribution"] for part in reasons[scale])
            assert total == pytest.approx(row[scale], abs=2e-5 * max(1, abs(row[scale])))
            sizes = [abs(part["contribution"]) for part in reasons[scale][1:-1]]
            assert sizes == sorted(sizes, reverse=True)
            assert len(sizes) <= n_reasons


def test_the_named_memories_are_those_of_explain(model: Model, pairs: pl.DataFrame) -> None:
    row = model.match(pairs[:1], explain=2).row(0, named=True)
    explained = model.explain(row["user_id"], row["item_id"])
    total: dict[object, float] = {}
    for slot in explained.slots:
        total[slot.item_id] = total.get(slot.item_id, 0.0) + slot.contribution
    strongest = sorted(total.items(), key=lambda part: -abs(part[1]))[:2]
    named = json.loads(row["reasons"])["match_raw"]
    assert [part["item_id"] for part in named[1:-1]] == [item for item, _ in strongest]
    assert [part["contribution"] for part in named[1:-1]] == pytest.approx([part for _, part in strongest], abs=1e-5)
    assert named[0]["contribution"] == pytest.approx(explained.base_score, abs=1e-5)
    assert row["match_reason_1"] == f"{model.title(strongest[0][0])} {strongest[0][1]:+.2f}"


def test_the_named_features_are_the_largest_of_the_rankers(model: Model, pairs: pl.DataFrame) -> None:
    row = model.rank(pairs, explain=MOST_REASONS).row(0, named=True)
    parts = json.loads(row["reasons"])["score"]
    named = {part["part"]: part["contribution"] for part in parts[1:-1]}
    assert set(named) <= set(model.bundle.ranker.features)
    first = max(named, key=lambda name: abs(named[name]))
    assert row["score_reason_1"] == f"{first} {named[first]:+.2f}"


def test_a_stranger_has_no_memory_to_name(model: Model, pairs: pl.DataFrame) -> None:
    row = model.match(pairs, explain=2).filter(pl.col("user_id") == "nobody").row(0, named=True)
    assert (row["match_reason_1"], row["match_reason_2"]) == (None, None)
    parts = json.loads(row["reasons"])["match_raw"]
    assert [part["part"] for part in parts] == ["base score (not from any memory slot)", "other memories"]
    assert parts[0]["contribution"] == pytest.approx(row["match_raw"], abs=1e-5)


def test_a_history_of_the_row_is_where_its_reasons_come_from(model: Model) -> None:
    first, second, third = model.dataset.catalogue.ids.head(3).to_list()
    rows = pl.DataFrame({"user_id": ["nobody"], "item_id": [first], "history": [[second, third, second]]})
    parts = json.loads(model.match(rows, explain=5)["reasons"][0])["match_raw"]
    assert {part["item_id"] for part in parts[1:-1]} == {second, third}


def test_rows_of_every_library_get_text(model: Model, pairs: pl.DataFrame) -> None:
    strangers = pairs.filter(pl.col("user_id") == "nobody")
    for frame in (strangers, strangers.clear()):
        as_arrow = model.rank(frame.to_arrow(), explain=1)
        assert str(as_arrow.schema.field("match_reason_1").type) == "string"
        assert model.rank(frame, explain=1).schema["match_reason_1"] == pl.String
        as_pandas = model.rank(frame.to_pandas(), explain=1)
        assert isinstance(as_pandas, pd.DataFrame)
        assert as_pandas["match_reason_1"].isna().all()
        assert as_pandas["reasons"].tolist() == as_arrow["reasons"].to_pylist()


def test_a_row_without_a_reason_may_come_before_one_with_it(model: Model, pairs: pl.DataFrame) -> None:
    found = model.rank(pairs.reverse(), explain=1)["match_reason_1"]
    assert found[0] is None
    assert found.reverse().equals(model.rank(pairs, explain=1)["match_reason_1"])


def test_queries_of_several_chunks_have_the_reasons_of_each_alone(
    model: Model, pairs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.rank(pairs, explain=2)
    monkeypatch.setattr("recmem.serving.scoring.CHUNK_PAIRS", 7)
    assert model.rank(pairs, explain=2)["reasons"].equals(whole["reasons"])


@pytest.mark.parametrize("number", [-1, MOST_REASONS + 1, 1.0, True, "3", np.float64(2)])
def test_another_number_of_reasons_is_refused(model: Model, pairs: pl.DataFrame, number: int) -> None:
    with pytest.raises(DataError, match=f"explain: expected 0 to {MOST_REASONS}, got"):
        model.rank(pairs, explain=number)


def test_reasons_of_scores_that_trees_did_not_see_are_refused(model: Model, pairs: pl.DataFrame) -> None:
    with pytest.raises(DataError, match=r"explain: expected trees_share 1 with it, got 0\.5"):
        model.rank(pairs, explain=1, trees_share=0.5)


def test_a_column_named_as_a_reason_is_refused(model: Model, pairs: pl.DataFrame) -> None:
    with pytest.raises(DataError, match=r"candidates\.reasons: expected no column of this name"):
        model.match(pairs.with_columns(reasons=pl.lit("mine")), explain=1)


def test_parts_that_do_not_add_up_are_an_error(
    model: Model, pairs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.ones(6), np.zeros(6), np.zeros((0, 6))

    monkeypatch.setattr("recmem.serving.row_reasons.match_parts", wrong)
    with pytest.raises(ArithmeticError, match="match_raw: expected parts that add up to"):
        model.match(pairs.filter(pl.col("user_id") == "nobody"), explain=1)
