"""The queries that the ranker is fitted on: those of its windows, as many as are of use.

A query teaches the ranker something only if one of its positives was retrieved, which in some logs is the case for less
than half of them. So where the first draw has too few of these, more are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from recmem.matching.matcher import Matcher
from training.config import TrainingConfig
from training.fitting.fit_ranker import RankingData
from training.fitting.new_users import with_new_users
from training.queries import Queries, queries_of
from training.training_data import TrainingData, ranking_data, retrieved_data

MOST_DRAWN = 1.5
"""Queries are drawn up to this multiple of `ranker_queries`: it bounds time and memory where retrieval finds little."""


def ranker_data(
    training_data: TrainingData,
    matcher: Matcher,
    config: TrainingConfig,
    on_query: Callable[[int], None] | None = None,
) -> tuple[Queries, RankingData]:
    """Queries of the ranker's windows in order of time, and their pairs.

    There are `config.ranker_queries` queries with a retrieved positive, or fewer if the windows have no more or if that
    takes more than `MOST_DRAWN` times as many queries. Both draws are evenly spread over the windows. Where there are
    impressions, they are the queries, `config.ranker_queries` at most. Where interests are read, some queries are asked
    as if their users had no events yet: `with_new_users`.
    """
    split = training_data.split
    limit = config.ranker_queries
    window = (split.ranker_from, split.test_from)
    first, data = ranking_data(training_data, matcher, *window, limit, config, on_query, batch_of=with_new_users)
    if training_data.shown is not None:
        return first, data
    more = _more_queries(training_data, len(first), len(data.with_positives().pairs.candidates), limit)
    if not len(more):
        return first, data
    more_data = retrieved_data(training_data, matcher, more, config, on_query, batch_of=with_new_users)
    queries = Queries.concat([first, more])
    in_time = np.lexsort((queries.users, queries.times))
    return queries.take(in_time), RankingData.concat([data, more_data]).take(in_time)


def _more_queries(training_data: TrainingData, n_drawn: int, n_useful: int, limit: int) -> Queries:
    """The queries of a second draw, none of which was in the first."""
    split = training_data.split
    queries = queries_of(training_data.dataset, split.ranker_from, split.test_from)
    rest = queries.without_spread(limit)
    # As many as should bring the missing ones, if retrieval finds as much for them.
    wanted = ceil((limit - n_useful) * n_drawn / max(n_useful, 1))
    return rest.spread(min(wanted, int((MOST_DRAWN - 1) * limit)))
