"""Rows to watch: the figures that the model gives them, and those that a scored file has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import debian_model
from feature_store import DataError
from recmem.batch.candidate_source import candidates_at
from recmem.ranking.feature_table import FEATURES
from tolerances import close
from training.monitoring.row_figures import EMPTY_MEMORIES, EMPTY_TEXTS, UNKNOWN_ITEMS, UNKNOWN_USERS
from training.monitoring.watched_rows import id_texts, sampled, watched_candidates, watched_scores


def candidates() -> pl.DataFrame:
    """Two known users and one that is not; ten known items, one unknown with a text and one without."""
    trained = debian_model.trained_model()
    users = [*trained.events["user_id"].unique().sort()[:2], "nobody"]
    known = trained.items.select("item_id", "title").head(10)
    new = pl.DataFrame({"item_id": ["new", "empty"], "title": ["a library for tests", ""]})
    return pl.DataFrame({"user_id": users}).join(pl.concat([known, new]), how="cross")


def test_figures_are_those_of_the_models_ranking_row_by_row() -> None:
    model = debian_model.trained_model().model()
    shuffled = candidates().sample(fraction=1.0, shuffle=True, seed=0)
    ranked = model.rank(shuffled)
    found = watched_candidates(model, ranked, len(ranked))
    for name in ("match_score", "match_raw", "similarity_max", "score"):
        close(found.rows.figures[name], ranked[name].cast(pl.Float32).to_numpy(), "float32")
    assert set(model.bundle.ranker.features) <= set(found.rows.figures)
    assert {feature.name for feature in FEATURES[:3]} <= set(found.rows.figures)
    assert (len(found.rows), found.rows.n_queries, found.n_rows) == (36, 3, 36)
    is_nobody = (shuffled["user_id"] == "nobody").to_numpy()
    is_new = shuffled["item_id"].is_in(["new", "empty"]).to_numpy()
    close(found.rows.shares[UNKNOWN_USERS], is_nobody, "exact")
    close(found.rows.shares[EMPTY_MEMORIES], is_nobody, "exact")
    close(found.rows.shares[UNKNOWN_ITEMS], is_new, "exact")
    close(found.rows.shares[EMPTY_TEXTS], (shuffled["item_id"] == "empty").to_numpy(), "exact")
    lengths = found.rows.figures["text_length"]
    close(lengths[(shuffled["item_id"] == "new").to_numpy()], 3 * [len("a library for tests")], "exact")
    assert found.times[0] == found.times[1] != ""


def test_a_reference_of_rows_calls_the_same_rows_the_same() -> None:
    model = debian_model.trained_model().model()
    found = watched_candidates(model, candidates(), 36)
    reference = found.rows.reference("given", found.times)
    assert (reference.rows, reference.queries, reference.users) == (36, 3, 3)
    assert abs(reference.shares[UNKNOWN_USERS].share - 1 / 3) < 1e-9
    assert reference.figures["match_raw"].rows == 36


def test_a_scored_file_is_read_without_a_model() -> None:
    trained = debian_model.trained_model()
    model = trained.model()
    times = pl.lit("2026-05-01T00:00:00Z").alias("timestamp")
    ranked = model.rank(candidates().with_columns(times))
    reference = watched_candidates(model, candidates(), 36).rows.reference("given", ("", ""))
    found = watched_scores(model.bundle, reference, ranked.drop("similarity_last"), 36)
    assert "match_raw" in found.rows.figures
    assert not {"similarity_last", "memory_size"} & set(found.rows.figures)
    assert found.times[0] == "2026-05-01T00:00:00+00:00"
    assert found.rows.n_queries == 3
    numbered = ranked.with_columns(impression_id=pl.lit(7.0))
    assert watched_scores(model.bundle, reference, numbered, 36).keys["impression_id"].unique().to_list() == ["7"]
    with pytest.raises(DataError, match="scored: expected user_id, item_id and the columns that `recmem score` adds"):
        watched_scores(model.bundle, reference, candidates(), 36)


def test_of_a_long_file_whole_queries_are_taken(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user_id": np.repeat(np.arange(500), 20), "item_id": np.tile(np.arange(20), 500)})
    rows.write_parquet(tmp_path / "rows.parquet")
    with candidates_at(tmp_path / "rows.parquet") as source:
        assert len(sampled(source, 10_000)) == 10_000
        found = sampled(source, 2500)
    assert 1500 < len(found) < 4000
    assert set(found.group_by("user_id").len()["len"]) == {20}


@pytest.mark.parametrize("user", ["a", "b", "c", "d"])
def test_a_single_query_that_is_longer_than_the_limit_is_taken_whole(tmp_path: Path, user: str) -> None:
    pl.DataFrame({"user_id": [user] * 5000, "item_id": np.arange(5000)}).write_parquet(tmp_path / "rows.parquet")
    with candidates_at(tmp_path / "rows.parquet") as source:
        assert len(sampled(source, 1000)) == 5000


def test_columns_whose_names_have_a_reason_in_them_are_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model = debian_model.trained_model().model()
    given = candidates().with_columns(return_reason_code=1, match_reason_1=pl.lit("text"), reasons=pl.lit("[]"))
    seen: list[str] = []
    pairs = model.pairs

    def noted(frame: pl.DataFrame) -> object:
        seen.extend(frame.columns)
        return pairs(frame)

    monkeypatch.setattr(model, "pairs", noted)
    watched_candidates(model, given, len(given))
    assert seen == ["user_id", "item_id", "title", "return_reason_code"]


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}).clear().write_parquet(tmp_path / "rows.parquet")
    with candidates_at(tmp_path / "rows.parquet") as source, pytest.raises(DataError, match="expected rows, got none"):
        sampled(source, 1000)


def test_numbers_and_their_digits_are_the_same_id() -> None:
    assert id_texts(pl.Series([7, 8])).to_list() == id_texts(pl.Series(["7", "8"])).to_list()
