"""The ranker: blend and trees, the cascade, contributions and importance, and what is saved."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recmem.ranking import ranker as ranker_module
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Blend, Ranker
from recmem.ranking.ranker_inputs import input_matrix, ranker_inputs
from small_ranker import FEATURES, INPUTS, pairs, ranker
from tolerances import close


def test_blend_is_a_weighted_sum_in_which_a_missing_value_is_the_mean() -> None:
    blend = Blend({"a_z": 2.0, "b_z": -0.5})
    columns = {"a_z": np.array([1.0, np.nan], np.float32), "b_z": np.array([4.0, 2.0], np.float32)}
    close(blend.scores(columns), [0.0, -1.0], "float32")


def test_score_is_the_blend_and_the_trees() -> None:
    inputs = ranker_inputs(pairs(), FEATURES)
    trees = np.array([ranker().booster.predict(row[None])[0] for row in input_matrix(inputs, INPUTS)])
    blend = 0.75 * inputs["match_raw_z"] - 0.5 * np.nan_to_num(inputs["items.price_z"])
    close(ranker().scores(pairs()), blend + trees, "float32")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_in_a_cascade_the_best_by_the_blend_are_scored_in_full_and_the_others_follow(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranker_module, "MIN_TREE_CANDIDATES", 2)
    data = pairs()
    model = ranker()
    whole = model.scores(data)
    scores = model.scores(data, trees_share=share)
    blend = model.blend.scores(ranker_inputs(data, FEATURES))
    n_scored = 0
    for begin, end in zip(data.candidates.offsets, data.candidates.offsets[1:], strict=False):
        order = np.argsort(-blend[begin:end]) + begin
        n_kept = min(max(math.ceil(share * (end - begin)), 2), end - begin)
        kept = order[:n_kept]
        others = order[n_kept:]
        close(scores[kept], whole[kept], "exact")
        assert (np.diff([scores[kept].min(), *scores[others]]) < 0).all()
        n_scored += n_kept
    assert model.n_scored_by_trees(data, share) == n_scored


def test_a_cascade_takes_queries_without_candidates_and_an_empty_blend() -> None:
    for lengths in ((3, 0, 2), (0, 0)):
        close(ranker().scores(pairs(lengths), trees_share=0.5), ranker().scores(pairs(lengths)), "exact")
    trees_alone = Ranker(ranker().trees, Blend({}), FEATURES, INPUTS)
    close(trees_alone.scores(pairs(), trees_share=0.5), trees_alone.scores(pairs()), "exact")


def test_in_a_cascade_candidates_that_tie_at_the_border_are_scored_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranker_module, "MIN_TREE_CANDIDATES", 1)
    data = pairs((6,))
    data.values["match_raw"][:] = 1
    data.values["items.price"][:] = np.nan
    assert ranker().n_scored_by_trees(data, 0.0) == 6
    close(ranker().scores(data, trees_share=0.0), ranker().scores(data), "exact")


def test_queries_of_a_batch_are_scored_as_single_ones() -> None:
    data = pairs()
    whole = ranker().scores(data)
    singles = [ranker().scores(data.take(np.array([row]))) for row in range(len(data.candidates))]
    close(np.concatenate(singles), whole, "exact")


def test_permuting_candidates_permutes_scores() -> None:
    data = pairs((6,))
    order = np.array([3, 5, 0, 1, 4, 2])
    permuted = PairFeatures(data.candidates, {name: column[order] for name, column in data.values.items()})
    close(ranker().scores(permuted), ranker().scores(data)[order], "float32")


def test_contributions_of_the_features_sum_to_the_score() -> None:
    constant, parts = ranker().contributions(pairs())
    assert tuple(parts) == FEATURES
    close(constant + sum(parts.values()), ranker().scores(pairs()), "explanation")


def test_a_feature_that_nothing_reads_contributes_nothing() -> None:
    data = pairs()
    blend_only = Ranker(ranker().trees, Blend({"match_raw_z": 1.0}), FEATURES, INPUTS)
    parts = {
        name: column - blend_only.contributions(data)[1][name]
        for name, column in ranker().contributions(data)[1].items()
    }
    inputs = ranker_inputs(data, FEATURES)
    close(parts["match_raw"], -0.25 * inputs["match_raw_z"], "explanation")
    close(parts["items.price"], -0.5 * np.nan_to_num(inputs["items.price_z"]), "explanation")
    close(parts["user_gap"], 0.0, "exact")


def test_importance_is_shared_out_among_the_features() -> None:
    shares = ranker().importance()
    assert tuple(shares) == FEATURES
    close(sum(shares.values()), 1.0, "float64")
    gain = dict(zip(INPUTS, ranker().booster.feature_importance("gain"), strict=True))
    close(shares["item_age"], (gain["item_age"] + gain["item_age_z"]) / sum(gain.values()) / 2, "float64")
    close(shares["match_raw"], gain["match_raw_z"] / sum(gain.values()) / 2 + 0.75 / 1.25 / 2, "float64")


def test_reloaded_ranker_gives_the_same_scores() -> None:
    again = Ranker.from_files(ranker().to_files())
    close(again.scores(pairs()), ranker().scores(pairs()), "exact")
    assert (again.features, again.inputs, again.blend) == (ranker().features, ranker().inputs, ranker().blend)


def test_no_pair_has_no_score() -> None:
    assert len(ranker().scores(pairs(()))) == 0
