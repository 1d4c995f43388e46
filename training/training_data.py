"""What all steps of a run read: the dataset, the items' text vectors, the split, and pairs with features and labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError, EventLog, SignalConfig, Store
from feature_store.arrays import Float32Array, Int8Array, IntArray
from feature_store.point_in_time.counters import CounterConfig
from feature_store.point_in_time.covisitation_cache import CovisitationCache
from feature_store.warnings.rating_scale import check_positives
from feature_store.warnings.unmatched_ids import require_matches, unmatched_rows
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.catalogue import Catalogue, numeric_columns
from recmem.dataset.dataset import Dataset, DatasetConfig
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.user_profiles import UserProfiles
from recmem.matching.matcher import Matcher
from recmem.ranking.given_features import candidate_features
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.retrieved_features import retrieved_features
from recmem.retrieval.retrieve import CatalogueScores
from recmem.text.encoder import TextEncoder
from recmem.text.item_text import text_columns
from recmem.text.item_vectors import ItemVectors
from recmem.text.unit_vectors import exact_units
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache
from training.config import TrainingConfig
from training.data_warnings import feature_warnings, impression_warnings, item_warnings, not_clicked_warnings
from training.fitting.fit_ranker import RankingData
from training.item_columns import column_warnings
from training.knowledge import facts_warnings, knowledge_of, slots_warnings
from training.optional_inputs import require_positions, require_weights
from training.own_features import own_features
from training.own_vectors import missing_sentences, training_vectors, unread_interests_sentences, unread_sentences
from training.pair_keys import pair_keys
from training.queries import ImpressionQueries, Queries, queries_of
from training.query_split import split_of
from training.splits import Split
from training.target_weights import TargetWeights, weights_of_candidates
from training.user_features import interests_column, user_features

BatchOf = Callable[[Dataset, IntArray, IntArray], QueryBatch]
"""Makes queries of user rows and times."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The store's tables as one run reads them."""

    dataset: Dataset
    unit: Float[Tensor, "item dim"]
    """Unit vector of each item's text."""
    split: Split
    fingerprint: str
    """Of the embedding space that the vectors are in."""
    shown: ImpressionQueries | None
    """The impressions, if there are any: then they are the queries."""
    events_of_unknown_items: int = 0
    """Events that were left out because their item is not among the items."""
    vectors: ItemVectors | None = None
    """What stands in for an encoder: the store's vectors of items; None with a text encoder."""
    warnings: tuple[str, ...] = ()
    """What is used but looks wrong, see `training.data_warnings`."""
    weights: TargetWeights | None = None
    """What positives of the log weigh in a fit; None where all weigh the same."""


def read_training_data(
    store: Store, config: TrainingConfig, *, encoder: TextEncoder | None, on_text: Callable[[int], None] | None = None
) -> TrainingData:
    """Reads the store, and encodes the texts that its cache lacks; with `vectors_name`, no encoder is asked.

    Raises DataError if the store has no items, events or texts, no event is positive, there are too few timestamps to
    split, or the encoder cannot encode.
    """
    derived = store.derived_files()  # before the tables are read
    items = store.items()
    events = store.events()
    for name, table in (("items", items), ("events", events)):
        if not len(table):
            raise DataError(
                f"{name}: expected rows, got an empty table. Ingest {name} first, with `recmem ingest` or --{name}."
            )
    impressions = store.impressions()
    signals = config.signals.decided(events)
    if not (impressions["label"] == 1).any():
        check_positives(events, signals)
    texts = tuple(text_columns(items))
    if not texts and not config.vectors_name:
        raise DataError(
            "items: expected at least one text column, got none. Add a column such as title or description, or name "
            "vectors of the items: --vectors-name."
        )
    triples = store.facts()
    knowledge = knowledge_of(items, triples, config.knowledge)
    catalogue = Catalogue.of(items, texts, numeric_columns(items)).with_facts(triples, knowledge)
    log = EventLog.from_frame(events, events["user_id"].unique().sort(), catalogue.ids, signals)
    if not len(log):
        require_matches(unmatched_rows(items, events, impressions))
    split = split_of(log, impressions, config.split)
    own = own_features(impressions, config.features)
    require_positions(impressions, config.ranker)
    require_weights(impressions)
    profiles = UserProfiles.of(store.users())
    of_users = user_features(profiles.table, config.users)
    interests = interests_column(profiles.table, config.users)
    # Vectors of the user's own say nothing of facts in words.
    n_slots = config.memory.knowledge if knowledge is not None and not config.vectors_name else 0
    if config.vectors_name:
        space = _space_of_vectors(store, config.vectors_name, catalogue, interests)
        interests = ""
    else:
        encoder = encoder or TextEncoder.load(config.encoder)
        space = _space_of_encoder(store, encoder, catalogue, on_text)
        if n_slots:
            catalogue = catalogue.with_fact_vectors(partial(_encoded_texts, store, encoder))
        profiles = profiles.encoded(interests, partial(_encoded_texts, store, encoder))
    dataset = Dataset.of(
        catalogue,
        events,
        impressions,
        replace(
            _dataset_config(log, split, signals, own, config),
            user_features=of_users,
            interests=interests,
            has_impressions=not impressions.is_empty(),
            knowledge=knowledge,
            fact_slots=n_slots,
            not_clicked_slots=config.memory.not_clicked,
        ),
        item_changes=store.item_changes(),
        profiles=profiles,
    )
    # Only the current item-item models are cached. Report and first scoring read them, an earlier fold does not.
    if derived is not None and dataset.clock <= split.test_until:
        dataset.timeline.cache = CovisitationCache(derived, catalogue.describe_words)
        dataset.timeline.caches_only_current = True
    return TrainingData(
        dataset=dataset,
        unit=space.unit,
        split=split,
        fingerprint=space.fingerprint,
        shown=ImpressionQueries.of(dataset),
        weights=TargetWeights.of(dataset, config.event_weights),
        events_of_unknown_items=log.n_unknown_items,
        vectors=space.vectors,
        warnings=(
            *space.warnings,
            *item_warnings(catalogue),
            *facts_warnings(catalogue.facts, knowledge, len(catalogue)),
            *slots_warnings(config.memory.knowledge, knowledge, has_encoder=not config.vectors_name),
            *column_warnings(dataset, split.ranker_from),
            *impression_warnings(impressions),
            *not_clicked_warnings(config.memory.not_clicked, impressions),
            *feature_warnings(impressions, own),
            *feature_warnings(profiles.table, of_users, "users"),
        ),
    )


@dataclass(frozen=True, eq=False)
class _Space:
    """The items in an embedding space."""

    unit: Float[Tensor, "item dim"]
    fingerprint: str
    vectors: ItemVectors | None
    """Those of the store, where they stand in for an encoder."""
    warnings: tuple[str, ...]


def _space_of_vectors(store: Store, name: str, catalogue: Catalogue, interests: str) -> _Space:
    """The store's vectors of this name; they say nothing of declared interests, which are in the column `interests`."""
    vectors, n_without = training_vectors(store, name, catalogue)
    warnings = (
        *missing_sentences(vectors.name, n_without, len(catalogue)),
        *unread_interests_sentences(interests),
    )
    return _Space(vectors.of_ids(catalogue.ids), vectors.fingerprint, vectors, warnings)


def _space_of_encoder(
    store: Store, encoder: TextEncoder, catalogue: Catalogue, on_text: Callable[[int], None] | None
) -> _Space:
    unit = _encoded(store, catalogue.texts, encoder, on_text)
    return _Space(unit, encoder.fingerprint, None, tuple(unread_sentences(store)))


def _encoded(
    store: Store, texts: list[str], encoder: TextEncoder, on_text: Callable[[int], None] | None
) -> Float[Tensor, "text dim"]:
    """Unit vectors of the texts; those that the store's cache lacks are encoded."""
    cache = VectorCache(f"{store.path}/{VECTORS_FOLDER}", encoder.fingerprint, encoder.dim)
    try:
        return exact_units(cache.get_or_encode(texts, encoder, on_progress=on_text))
    except (FloatingPointError, ValueError) as error:  # an encoder that gives NaN, or whose tokenizer is another one's
        raise DataError(str(error)) from error


def _encoded_texts(store: Store, encoder: TextEncoder, texts: list[str]) -> Float32Array:
    """Unit vectors of declared interests, or of facts: float32[text, dim]."""
    vectors: Float32Array = _encoded(store, texts, encoder, None).numpy()
    return vectors


def ranking_data(
    training_data: TrainingData,
    matcher: Matcher,
    begin: int,
    end: int,
    limit: int,
    config: TrainingConfig,
    on_query: Callable[[int], None] | None = None,
    batch_of: BatchOf = QueryBatch.of,
) -> tuple[Queries, RankingData]:
    """At most `limit` queries with `begin < timestamp <= end`, evenly spread, and their pairs.

    The candidates are what was shown if there are impressions, else what is retrieved. `batch_of` may take events from
    some users.
    """
    dataset = training_data.dataset
    if training_data.shown is not None:
        shown = training_data.shown.between(begin, end).spread(limit)
        batch = batch_of(dataset, shown.users, shown.times)
        pairs = candidate_features(dataset, matcher, batch, shown.candidates, on_query, shown.given_features)
        return shown.queries(), RankingData(pairs, shown.labels, shown.weights, shown.positions)
    queries = queries_of(dataset, begin, end).spread(limit)
    return queries, retrieved_data(training_data, matcher, queries, config, on_query, batch_of=batch_of)


def retrieved_data(
    training_data: TrainingData,
    matcher: Matcher,
    queries: Queries,
    config: TrainingConfig,
    on_query: Callable[[int], None] | None = None,
    on_scores: Callable[[QueryBatch, CatalogueScores], None] | None = None,
    batch_of: BatchOf = QueryBatch.of,
) -> RankingData:
    """The retrieved candidates of the queries, with features and labels.

    `on_query` is called with the number of queries just done, `on_scores` with each chunk of queries and the features
    of the whole catalogue from which their candidates are retrieved, see `retrieved_features`.
    """
    batch = batch_of(training_data.dataset, queries.users, queries.times)
    pairs = retrieved_features(training_data.dataset, matcher, batch, config.retrieval, on_query, on_scores)
    labels = labels_of(pairs, queries)
    weights = training_data.weights
    if weights is None:
        return RankingData(pairs, labels)
    of_positives = weights.of_positives(queries.users, queries.times, queries.positives)
    return RankingData(pairs, labels, weights_of_candidates(of_positives, queries.positives, pairs.candidates, labels))


def labels_of(pairs: PairFeatures, queries: Queries) -> Int8Array:
    """int8[pair]: 1 for a candidate that is among its query's positives."""
    return np.isin(*pair_keys(pairs.candidates, queries.positives)).astype(np.int8)


def _dataset_config(
    log: EventLog, split: Split, signals: SignalConfig, own: tuple[CandidateFeature, ...], config: TrainingConfig
) -> DatasetConfig:
    # The counters' windows are shares of the log's span, which must not depend on the test period.
    until_test = log.until(split.test_from + 1)
    return DatasetConfig(
        signals=signals,
        counters=CounterConfig.from_log(until_test),
        covisitation=config.covisitation,
        refresh_origin=split.ranker_from,
        refresh_every=split.refresh,
        candidate_features=own,
        repeats=not config.retrieval.exclude_seen,
    )
