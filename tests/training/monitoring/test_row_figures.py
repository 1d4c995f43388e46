"""Figures of pairs, as a reference keeps them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import debian_model
from feature_store.ragged import Ragged
from recmem.dataset.candidate_features import CandidateFeature
from recmem.ranking.pair_features import PairFeatures
from tolerances import close
from training.monitoring.row_figures import pair_categories


def test_candidates_and_users_may_have_a_column_of_text_of_one_name() -> None:
    bundle = debian_model.trained_model().model().bundle
    dataset = replace(
        bundle.config.dataset,
        candidate_features=(CandidateFeature("plan", ("web", "app")),),
        user_features=(CandidateFeature("plan", ("free", "trial", "paid")),),
    )
    names = ("categories.plan", "user_categories.plan")
    described = replace(
        bundle,
        config=replace(bundle.config, dataset=dataset),
        ranker=replace(bundle.ranker, features=(*bundle.ranker.features, *names)),
    )
    values = {names[0]: np.array([1.0, 0, np.nan], np.float32), names[1]: np.array([2.0, np.nan, 0], np.float32)}
    found = pair_categories(described, PairFeatures(Ragged.from_lists([np.arange(3)]), values))
    assert [vocabulary for _, vocabulary in found.values()] == [("web", "app"), ("free", "trial", "paid")]
    close(found[names[0]][0], np.array([1, 0, -1]), "exact")
    close(found[names[1]][0], np.array([2, -1, 0]), "exact")
