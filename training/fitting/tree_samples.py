"""What each of LightGBM's trees is fitted on: a random share of the queries, or of the pairs."""

from __future__ import annotations

from training.fitting.tree_pairs import TreePairs

LARGEST_COPIED_SHARE = 0.5
"""LightGBM copies the rows of a sample that is at most this share of all, divided by the rounds that it serves."""
FEWEST_INPUTS_NOT_COPIED = 100
"""LightGBM copies no sample of rows with as many groups of features."""


def sampling_parameters(share: float, pairs: TreePairs | None = None) -> dict[str, object]:
    """LightGBM's parameters for trees that are each fitted on a share of the queries of `pairs`.

    Without `pairs`, those of pairs with few inputs and without positions.

    LightGBM 4.7 samples queries correctly only where it copies the sample (`LARGEST_COPIED_SHARE`). Elsewhere it does
    not know which rows are outside the sample: after a round, their training scores stay as they were, and the first
    row gets the tree's output once for each of them, from all threads at the same time. So a sample of more than half
    of the queries serves two rounds. Where LightGBM does not copy, pairs are sampled; their queries' gradients are
    computed on all pairs. So they are with positions, whose biases LightGBM learns from the gradients of all rows,
    sampled or not.
    """
    if share == 1:
        return {}
    samples_pairs = pairs is not None and (
        pairs.positions is not None or pairs.matrix.shape[1] >= FEWEST_INPUTS_NOT_COPIED
    )
    if samples_pairs:
        return {"bagging_fraction": share, "bagging_freq": 1}
    return {
        "bagging_fraction": share,
        "bagging_freq": 1 if share <= LARGEST_COPIED_SHARE else 2,
        "bagging_by_query": True,
    }
