"""The fact that says most of why an item fits a user, such as the author of three of the user's books."""

from __future__ import annotations

import numpy as np

from feature_store.arrays import IntArray
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.shared_facts import distinct_items
from recmem.ranking.feature_table import FACT_FEATURES
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from recmem.serving.explain import SharedFact, higher_than_mean
from recmem.serving.phrases import PHRASES, Language, Phrases
from recmem.serving.slot_names import fact_named

STRONGEST = "facts_max"


def fact_reasons(
    dataset: Dataset,
    ranker: Ranker,
    queries: QueryBatch,
    pairs: PairFeatures,
    chosen: IntArray,
    *,
    language: Language,
) -> list[SharedFact | None]:
    """Of each of the `chosen` pairs: the fact that the item shares most of with the query's history, in the language.

    None if its strongest fact is no stronger than those of the query's candidates in the mean, or the ranker reads no
    facts.
    """
    reads_facts = not {feature.name for feature in FACT_FEATURES}.isdisjoint(ranker.features)
    if not reads_facts or STRONGEST not in pairs.values:
        return [None] * len(chosen)
    stands_out = higher_than_mean(pairs, STRONGEST)
    query_of_pair = pairs.candidates.row_index
    items = pairs.candidates.values
    phrases = PHRASES[language]
    return [
        _strongest(dataset, queries, int(query_of_pair[pair]), int(items[pair]), phrases) if stands_out[pair] else None
        for pair in chosen
    ]


def _strongest(dataset: Dataset, queries: QueryBatch, query: int, item: int, phrases: Phrases) -> SharedFact | None:
    facts = dataset.catalogue.facts
    taken, recency = distinct_items(queries.histories, query, 1, facts.held.shape[0])
    of_item = facts.held[item]
    # float[item of the history, fact of the candidate]
    has = facts.held[taken][:, of_item.indices].toarray() > 0
    strength = of_item.data * (recency @ has)
    if not strength.any():
        return None
    best = int(np.argmax(strength))
    sharing = taken[has[:, best]]
    title = dataset.catalogue.title(int(sharing[0])) if len(sharing) == 1 else None
    return SharedFact(fact_named(facts.words[of_item.indices[best]], phrases), len(sharing), title)
