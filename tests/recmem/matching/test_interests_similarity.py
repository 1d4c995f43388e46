from __future__ import annotations

import numpy as np

from feature_store.ragged import Ragged
from five_item_dataset import N_TEXTS, matcher, unit_vectors
from recmem.matching.interests_similarity import interest_pair_scores, interest_scores
from tolerances import close

VECTORS = unit_vectors()[[4, 2]].numpy()
"""Two interests, which read like the texts 4 and 2."""


def test_the_similarity_is_the_cosine_with_each_candidate_and_missing_without_interests() -> None:
    candidates = Ragged.from_lists([[2, 0, 6], [1], [4, 4]])
    scores = interest_pair_scores(matcher(), VECTORS, np.array([1, -1, 0]), candidates)
    unit = unit_vectors().double().numpy()
    close(scores[:3], unit[[2, 0, 6]] @ unit[2], "float32")
    close(scores[4:], np.full(2, unit[4] @ unit[4]), "float32")
    assert np.isnan(scores[3])


def test_every_candidate_at_once_scores_as_alone() -> None:
    interests = np.array([0, -1, 1])
    every = np.arange(N_TEXTS)
    scores = interest_scores(matcher(), VECTORS, interests, every)
    alone = interest_pair_scores(matcher(), VECTORS, interests, Ragged.from_lists([every] * 3))
    close(scores.ravel(), alone, "float32")
    assert np.isnan(interest_scores(matcher(), VECTORS, np.array([-1]), every)).all()


def test_a_pairs_similarity_does_not_depend_on_the_other_candidates() -> None:
    together = interest_pair_scores(matcher(), VECTORS, np.array([0]), Ragged.from_lists([np.arange(N_TEXTS)]))
    for item in range(N_TEXTS):
        alone = interest_pair_scores(matcher(), VECTORS, np.array([0]), Ragged.from_lists([[item]]))
        close(alone, together[[item]], "exact")
