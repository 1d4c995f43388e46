"""Scores and ranks of pairs on a device, from their features on."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from feature_store.arrays import Float32Array, Float64Array, IntArray
from recmem.matching.calibration import Calibration
from recmem.matching.matcher import MATCH_FEATURES
from recmem.on_device.calibration import probability
from recmem.on_device.device_features import device_features
from recmem.on_device.device_ranker import DeviceRanker
from recmem.on_device.segments import Segments, ranks
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.ranker import Ranker


def rank_on_device(
    context: FeatureContext,
    ranker: Ranker,
    calibration: Calibration,
    *,
    given_history_lengths: IntArray,
    trees_share: float = 1.0,
) -> dict[str, Float32Array | Float64Array | IntArray]:
    """The calibrated match score, the match features, score and rank of each pair, on the host.

    `given_history_lengths`: see `Candidates`, of the context's queries.
    """
    with torch.inference_mode():
        device = context.matcher.device
        queries = Segments.of(context.candidates, device)
        features = with_given_histories(device_features(context), given_history_lengths, queries)
        scores = DeviceRanker.of(ranker, device).scores(features, queries, trees_share=trees_share)
        match = [features[name] for name in MATCH_FEATURES]
        # One tensor, so that a GPU copies it once.
        copied = torch.stack([probability(calibration, features["match_raw"]), *match]).cpu().numpy()
        columns = dict(zip(("match_score", *MATCH_FEATURES), copied, strict=True))
        return columns | {"score": scores.cpu().numpy(), "rank": ranks(scores, queries).cpu().numpy()}


def with_given_histories(
    features: dict[str, Float32[Tensor, " pair"]], lengths: IntArray, queries: Segments
) -> dict[str, Float32[Tensor, " pair"]]:
    """The features of the user, where a history came with the query: it counts as the user's events."""
    if not (lengths > 0).any():
        return features
    device = queries.offsets.device
    is_given = torch.from_numpy(lengths > 0).to(device)[queries.index]
    n_events = torch.from_numpy(np.log1p(lengths.clip(min=0)).astype(np.float32)).to(device)[queries.index]
    return features | {
        "user_events": torch.where(is_given, n_events, features["user_events"]),
        "user_gap": torch.where(is_given, 0, features["user_gap"]),
    }
