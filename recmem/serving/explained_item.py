"""Why one item scores as it does for a user, among the candidates that `recommend` ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.data_errors import describe
from feature_store.ragged import Ragged
from recmem.dataset.candidate_features import CandidateFeature, read_features
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher
from recmem.ranking.feature_computation import feature_name
from recmem.ranking.given_features import candidate_features
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.retrieved_features import retrieved_features
from recmem.serving.bundle import Bundle
from recmem.serving.explain import Explanation, fitting_interests, match_parts, slot_reasons
from recmem.serving.fact_reasons import fact_reasons
from recmem.serving.loaded_parts import LoadedParts
from recmem.serving.request_times import TimeLike
from recmem.serving.user_queries import query_of


def explained(
    parts: LoadedParts,
    user_id: object,
    item_id: object,
    *,
    timestamp: TimeLike | None,
    features: Mapping[str, object] | None,
) -> Explanation:
    """What the scores of an item for a user are made of; see `Model.explain`."""
    item = parts.item_row(item_id)
    dataset, query = query_of(parts, user_id, timestamp)
    pairs = _pairs_with(dataset, parts.matcher, parts.bundle, query, item)
    pair = int(np.flatnonzero(pairs.candidates.values == item)[0])
    if features:
        pairs = _with_given(pairs, pair, dataset.config.candidate_features, features)
    prior, null, slot_parts = match_parts(parts.matcher, query.histories, np.array([item]))
    ranker = parts.bundle.ranker
    constant, contributions = ranker.contributions(pairs)
    language = parts.bundle.config.language
    slots = slot_reasons(parts.matcher, dataset.catalogue, query.histories, slot_parts[:, 0], language)
    stored_id = dataset.catalogue.ids[item]
    return Explanation(
        title=dataset.catalogue.title(item),
        match_raw=float(pairs.values["match_raw"][pair]),
        prior=float(prior[0]),
        null=float(null[0]),
        slots=slots,
        already_in_memory=any(slot.is_event and slot.item_id == stored_id for slot in slots),
        features={"constant": constant} | {name: float(values[pair]) for name, values in contributions.items()},
        score=float(ranker.scores(pairs)[pair]),
        interests=fitting_interests(pairs)[pair],
        fact=fact_reasons(dataset, ranker, query, pairs, np.array([pair]), language=language)[0],
        language=language,
    )


def _pairs_with(dataset: Dataset, matcher: Matcher, bundle: Bundle, query: QueryBatch, item: int) -> PairFeatures:
    """Features of the candidates that are retrieved for one query, with this item among them."""
    pairs = retrieved_features(dataset, matcher, query, bundle.config.retrieval)
    if item in pairs.candidates.values:
        return pairs
    candidates = Ragged.from_lists([np.append(pairs.candidates.values, item)])
    return candidate_features(dataset, matcher, query, candidates)


def _with_given(
    pairs: PairFeatures, pair: int, own: Sequence[CandidateFeature], given: Mapping[str, object]
) -> PairFeatures:
    """The pairs with these values of the own features of one of them; all others keep typical values.

    Raises DataError for a name that is no feature of the model, or a value that it cannot be.
    """
    features = {feature.name: feature for feature in own}
    foreign = [name for name in given if name not in features]
    if foreign:
        named = ", ".join(features) or "none: it was trained without"
        raise DataError(f"features: expected features of the model ({named}), got {foreign[0]!r}. Leave it out.")
    frame = pl.DataFrame({name: [value] for name, value in given.items()}, strict=False)
    values, problems = read_features(frame, [features[name] for name in given])
    if problems:
        raise DataError(describe(problems, table="features"))
    columns = dict(pairs.values)
    for name, value in values.items():
        column = columns[feature_name(features[name])].copy()
        column[pair] = value[0]
        columns[feature_name(features[name])] = column
    return PairFeatures(pairs.candidates, columns)
