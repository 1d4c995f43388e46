"""All features of pairs on a device. What has no way to be computed there is computed on the CPU, and copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.covisitation_models import covisitation_by_refresh
from recmem.matching.matcher import MATCH_FEATURES
from recmem.on_device.counters import ClickCounts, ItemEvents
from recmem.on_device.covisitation import ItemWeights
from recmem.on_device.device_pairs import DevicePairs
from recmem.on_device.items_had import repeats
from recmem.on_device.kept import Kept
from recmem.on_device.segments import Segments
from recmem.on_device.similarities import interests_similarity, shown_similarity
from recmem.ranking import feature_computation
from recmem.ranking.dataset_features import features_of
from recmem.ranking.feature import Feature, values_of
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.feature_names import ATTRIBUTE_PREFIX

Column = Float32[Tensor, " pair"]
OnDevice = Callable[[DevicePairs], Column | Mapping[str, Column] | None]


def device_features(context: FeatureContext) -> dict[str, Column]:
    """The features of `recmem.ranking.pair_features.compute_features`, on the device of the matcher."""
    pairs = DevicePairs(context)
    features = features_of(context.dataset.catalogue, context.dataset.config)
    return {feature.name: _column(feature, pairs) for feature in features}


def match(pairs: DevicePairs) -> dict[str, Column]:
    """See `compute_match`."""
    context = pairs.context
    columns = context.matcher.pair_columns(context.queries.histories, context.candidates)
    return dict(zip(MATCH_FEATURES, columns, strict=True))


def covisitation(pairs: DevicePairs) -> dict[str, Column]:
    """See `compute_covisitation`."""
    context = pairs.context
    found = torch.zeros((len(pairs.items), len(COVISITATION_FEATURES)), device=pairs.device)
    for rows, histories, models in covisitation_by_refresh(context.dataset, context.queries):
        weights = ItemWeights.of(models, pairs.device)
        if len(rows) == len(context.queries):
            found = weights.features(histories, pairs.items, pairs.queries, context.candidates.lengths)
        else:
            own = context.candidates.take(rows)
            place = torch.from_numpy(context.candidates.index_of(rows)).to(pairs.device)
            queries = Segments.of(own, pairs.device)
            found[place] = weights.features(histories, pairs.items[place], queries, own.lengths)
    return dict(zip(COVISITATION_FEATURES, found.T, strict=True))


def item_counters(pairs: DevicePairs) -> dict[str, Column] | None:
    """See `compute_item_counters`; None where the log has cancelled events, or is a server's."""
    dataset = pairs.context.dataset
    events = ItemEvents.of(dataset.reads, len(dataset.catalogue), pairs.device)
    if events is None:
        return None
    return events.counters(pairs.items, pairs.queries.index, pairs.times, dataset.config.counters)


def click_through(pairs: DevicePairs) -> dict[str, Column]:
    """See `compute_click_through`."""
    clicks = ClickCounts.of(pairs.context.dataset.clicks, pairs.device)
    return clicks.features(pairs.items, pairs.queries.index, pairs.times)


def item_attributes(pairs: DevicePairs) -> dict[str, Column] | None:
    """See `compute_item_attributes`; None where numbers of items came with times."""
    dataset = pairs.context.dataset
    if dataset.item_history.columns:
        return None
    catalogue = dataset.catalogue
    table = _NUMBERS.of(catalogue, pairs.device, lambda: _numbers(catalogue, pairs.device))
    columns = table[:, pairs.items.clamp(max=len(catalogue))]
    names = [ATTRIBUTE_PREFIX + name for name in catalogue.number_columns]
    return dict(zip(names, columns, strict=True))


def _numbers(catalogue: Catalogue, device: torch.device) -> Float32[Tensor, "column item_and_one"]:
    """The numeric columns of the items, and NaN at the end, for what is no item."""
    columns = [np.append(numbers, np.float32(np.nan)) for numbers in catalogue.numbers().values()]
    return torch.from_numpy(np.stack(columns)).to(device)


_NUMBERS: Kept[Catalogue, Float32[Tensor, "column item_and_one"]] = Kept()

ON_DEVICE: dict[object, OnDevice] = {
    feature_computation.compute_match: match,
    feature_computation.compute_covisitation: covisitation,
    feature_computation.compute_item_counters: item_counters,
    feature_computation.compute_click_through: click_through,
    feature_computation.compute_item_attributes: item_attributes,
    feature_computation.compute_repeats: repeats,
    feature_computation.compute_interests_similarity: interests_similarity,
    feature_computation.compute_shown_similarity: shown_similarity,
}
"""What a feature is computed by on the CPU, and by what on a device; the latter may give None."""


def _column(feature: Feature, pairs: DevicePairs) -> Column:
    on_device = ON_DEVICE.get(feature.compute)
    result = None if on_device is None else pairs.once(on_device)
    if isinstance(result, Mapping):
        return result[feature.name]
    if result is not None:
        return result
    values = torch.from_numpy(values_of(feature, pairs.context)).to(pairs.device)
    return values[pairs.queries.index] if feature.per_query else values
