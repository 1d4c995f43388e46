"""Scores of a frame: alone or in a batch, whole or in chunks, in any order, they are the same."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from debian_model import SCORES, same_scores
from feature_store import DataError
from recmem.kernels import pairs_torch
from recmem.ranking import ranker as ranker_module
from recmem.serving import scoring
from recmem.serving.model import Model
from recmem.serving.scoring import MATCH_OUTPUTS, RANK_OUTPUTS
from tolerances import close


def test_permuting_the_rows_permutes_the_scores_exactly(model: Model, candidates: pl.DataFrame) -> None:
    scored = model.rank(candidates)
    order = np.random.default_rng(2).permutation(len(candidates))
    assert model.rank(candidates[order]).equals(scored[order])


def test_a_batch_scores_as_its_queries_one_by_one(model: Model, candidates: pl.DataFrame) -> None:
    whole = model.rank(candidates)
    for _, single in whole.group_by("user_id", "timestamp"):
        same_scores(model.rank(single.drop(RANK_OUTPUTS)), single)


def test_scoring_in_chunks_changes_nothing(
    model: Model, candidates: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = model.rank(candidates)
    matched = model.match(candidates)
    monkeypatch.setattr(scoring, "CHUNK_PAIRS", 7)
    monkeypatch.setattr(pairs_torch, "BLOCK_CELLS", 50)
    same_scores(model.rank(candidates), ranked)
    close(model.match(candidates)["match_raw"].to_numpy(), matched["match_raw"].to_numpy(), "float32")


def test_a_cascade_ranks_the_candidates_that_its_trees_score_above_the_others(
    model: Model, candidates: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranker_module, "MIN_TREE_CANDIDATES", 2)
    whole = model.rank(candidates)
    some = model.rank(candidates, trees_share=0.0)
    for _, query in some.with_columns(whole=whole["score"]).group_by("user_id", "timestamp"):
        first = query.filter(pl.col("rank") <= 2)
        assert first["score"].to_list() == first["whole"].to_list()
    assert not some["score"].equals(whole["score"])
    assert some.drop("score", "rank").equals(whole.drop("score", "rank"))
    with pytest.raises(DataError, match=r"trees_share: expected 0 to 1, got 20\. Give a share"):
        model.rank(candidates, trees_share=20)
    for share in ("half", None, float("nan")):
        with pytest.raises(DataError, match=r"trees_share: expected 0 to 1, got "):
            model.rank(candidates, trees_share=share)  # type: ignore[arg-type]


def test_match_and_rank_agree_on_the_match_columns(model: Model, candidates: pl.DataFrame) -> None:
    matched = model.match(candidates)
    ranked = model.rank(candidates)
    for name in MATCH_OUTPUTS:
        close(matched[name].to_numpy(), ranked[name].to_numpy(), "float32")


def test_match_score_is_a_probability_in_the_order_of_the_raw_score(model: Model, candidates: pl.DataFrame) -> None:
    scored = model.match(candidates).sort("match_raw")
    assert scored["match_score"].is_sorted()
    assert 0 < scored["match_score"].min() < scored["match_score"].max() < 1  # type: ignore[operator]


def test_rank_counts_from_one_within_user_and_time(model: Model, candidates: pl.DataFrame) -> None:
    for _, query in model.rank(candidates).group_by("user_id", "timestamp"):
        expected = query["score"].rank("min", descending=True).cast(pl.Int64).to_list()
        assert query["rank"].to_list() == expected
        assert min(expected) == 1


def test_an_impression_is_a_query_of_its_own(model: Model, candidates: pl.DataFrame) -> None:
    one = candidates.with_columns(
        user_id=pl.lit(candidates["user_id"][0]), timestamp=pl.lit(candidates["timestamp"][0])
    )
    one = one.unique("item_id", maintain_order=True).with_columns(impression_id=pl.int_range(pl.len()) % 3)
    ranked = model.rank(one)
    assert ranked.filter(pl.col("rank") == 1)["impression_id"].n_unique() == 3
    for _, shown in ranked.group_by("impression_id"):
        same_scores(model.rank(shown.drop("impression_id", *RANK_OUTPUTS)), shown)


def test_duplicate_rows_are_each_scored_and_change_nothing_for_the_others(
    model: Model, candidates: pl.DataFrame
) -> None:
    twice = pl.concat([candidates, candidates.head(5)])
    scored = model.rank(twice)
    assert scored.tail(5).select(SCORES).equals(scored.head(5).select(SCORES))
    close(scored.head(len(candidates))["score"].to_numpy(), model.rank(candidates)["score"].to_numpy(), "exact")
