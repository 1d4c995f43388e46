"""What a history says about its own items, on a device: the numbers of `recmem.dataset.items_had`."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from feature_store.point_in_time.histories import Histories
from recmem.on_device.counters import log1p
from recmem.on_device.device_pairs import DevicePairs


def repeats(pairs: DevicePairs) -> dict[str, Float32[Tensor, " pair"]]:
    """See `recmem.ranking.feature_computation.compute_repeats`."""
    histories = pairs.context.queries.histories
    n_items = int(max(histories.items.values.max(initial=-1), pairs.context.candidates.values.max(initial=-1))) + 1
    # History and item of each positive event as one number; stable, so that the latest event of each comes last.
    positive = np.flatnonzero(histories.signs > 0)
    keys = (histories.items.row_index * n_items + histories.items.values)[positive]
    order = np.argsort(keys, kind="stable")
    return _of_events(pairs, histories, keys[order], positive[order], n_items)


def _of_events(
    pairs: DevicePairs, histories: Histories, keys: np.ndarray, events: np.ndarray, n_items: int
) -> dict[str, Float32[Tensor, " pair"]]:
    """The features from events sorted by their keys, the latest of each key last."""
    sorted_keys = torch.from_numpy(keys).to(pairs.device)
    wanted = pairs.queries.index * n_items + pairs.items
    begin = torch.searchsorted(sorted_keys, wanted)
    end = torch.searchsorted(sorted_keys, wanted, right=True)
    times = end - begin
    is_had = times > 0
    # Where the item was not had, the place before its own: masked below. A history of nothing still has one.
    latest = (end - 1).clamp(min=0)

    def of_latest(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.append(values[events], 0)).to(pairs.device)[latest]

    visits = log1p(of_latest(histories.recency))
    age = (pairs.times[pairs.queries.index] - of_latest(histories.times)).clamp(min=0)
    since = log1p(age.double() / pairs.context.dataset.config.counters.short)
    return {
        "times_had": log1p(times),
        "visits_since_had": torch.where(is_had, visits, -1),
        "time_since_had": torch.where(is_had, since, -1),
    }
