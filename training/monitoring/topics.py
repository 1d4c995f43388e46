"""Topics of what users choose: groups of items with similar texts, and each group's share of the events, then and now.

Items are grouped by k-means on the vectors that the model reads texts by, those of both periods together, so that a
topic that the reference lacks can be one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len, set_cell_size

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.event_log import EventLog
from recmem.dataset.catalogue import Catalogue
from recmem.reference.distribution import effective_rows
from recmem.reference.drift import share_limit
from training.evaluation.intervals import Difference, paired_bootstraps
from training.monitoring.findings import TOPIC_PREFIX, TOPICS, Finding, Limit, Topic
from training.monitoring.monitor_config import MonitorConfig
from training.monitoring.topic_names import topic_words

CHANGE = "change"
FEWEST_EVENTS = 100
"""Events that each period needs; with fewer, no topic of a usual size could be judged."""
ITEMS_PER_TOPIC = 5
"""Items that there must be for each topic."""
_MAX_FITTED = 5000
"""Items that topics are fitted on and named by, at most; the others join the nearest topic."""
_NEW_BELOW = 0.001
"""A topic is new if it had less than this share of the reference's events."""
_LONGEST_TITLE = 100
"""In widths of a letter."""
_RESAMPLES = 1000
_STARTS = 4
"""Of k-means; the best of them counts."""


@dataclass(frozen=True, eq=False)
class PositiveEvents:
    """The positive events of a period: one entry per event in both arrays."""

    users: IntArray
    items: IntArray
    """Row in the catalogue."""

    @classmethod
    def of(cls, log: EventLog, begin: int, end: int | None = None) -> PositiveEvents:
        """The positive events from `begin` to `end`, both included, microseconds."""
        is_in = (log.times >= begin) & (log.signs > 0)
        if end is not None:
            is_in &= log.times <= end
        return cls(log.user_rows[is_in].astype(np.int64), log.item_rows[is_in].astype(np.int64))

    def __len__(self) -> int:
        return len(self.users)

    def sampled(self, limit: int, generator: np.random.Generator) -> PositiveEvents:
        """All events if they are at most `limit`, else those of users drawn at random, about so many."""
        if len(self) <= limit:
            return self
        users, user = np.unique(self.users, return_inverse=True)
        drawn = generator.permutation(len(users))
        n_events = np.cumsum(np.bincount(user)[drawn])
        # At least one user, however many events that one has.
        taken = drawn[: max(int((n_events <= limit).sum()), 1)]
        kept = np.isin(user, taken)
        return PositiveEvents(self.users[kept], self.items[kept])


def topics_of(
    reference: PositiveEvents, current: PositiveEvents, units: Float32Array, catalogue: Catalogue, config: MonitorConfig
) -> tuple[Topic, ...]:
    """The topics of both periods' items, the largest change first; none if a period has too few events.

    `units`: float32[item, dim], vectors of the catalogue's texts. The same input gives the same topics.
    """
    if min(len(reference), len(current)) < FEWEST_EVENTS:
        return ()
    generator = np.random.default_rng(config.seed)
    reference = reference.sampled(config.topic_events, generator)
    current = current.sampled(config.topic_events, generator)
    items = np.unique(np.concatenate([reference.items, current.items]))
    fitted = items if len(items) <= _MAX_FITTED else np.sort(generator.choice(items, _MAX_FITTED, replace=False))
    # Items with one text are in one topic: more topics than texts would leave some without an item.
    n_topics = min(config.topics, len(items) // ITEMS_PER_TOPIC, len(np.unique(units[fitted], axis=0)))
    if n_topics < 2:
        return ()
    topic_of_item, nearest = _grouped(units, items, fitted, n_topics, config.seed)
    of_item = np.full(len(catalogue), -1, np.int64)
    of_item[items] = topic_of_item
    names = topic_words([catalogue.texts[row] for row in fitted], of_item[fitted], n_topics)
    examples = [shortened(catalogue.title(int(row))) for row in nearest]
    topics = _counted(reference, current, of_item, names, examples, generator)
    return tuple(sorted(topics, key=lambda topic: -abs(topic.change)))


def topic_findings(topics: Sequence[Topic], config: MonitorConfig, level: float) -> list[Finding]:
    """One finding for each topic: how far its share of the events has moved, up or down.

    `level`: the significance of one test; there are two of each topic, one for each direction.
    """
    found = []
    for topic in topics:
        before = topic.effective_reference
        now = topic.effective_current
        both = (topic.reference * before + topic.current * now) / (before + now)
        chance = share_limit(both, n_reference=before, n_current=now, significance=level)
        limit = Limit(abs(topic.change), chance, config.topic_warn, config.topic_alert)
        note = f"Such as {topic.example}." + (" New: the reference has next to none of it." if topic.is_new else "")
        found.append(
            Finding(
                name=f"{TOPIC_PREFIX}{topic.name}",
                group=TOPICS,
                status=limit.status,
                reference=topic.reference,
                current=topic.current,
                rows=topic.events,
                effective=now,
                limits={CHANGE: limit},
                note=note,
            )
        )
    return found


def shortened(title: str) -> str:
    """A title as a table has room for it: at most `_LONGEST_TITLE` wide, where a Chinese character counts as two."""
    if cell_len(title) <= _LONGEST_TITLE:
        return title
    return set_cell_size(title, _LONGEST_TITLE - 1).rstrip() + "…"


def _grouped(
    units: Float32Array, items: IntArray, fitted: IntArray, n_topics: int, seed: int
) -> tuple[IntArray, IntArray]:
    """The topic of each of `items`, and the item in the middle of each topic: int64[item], int64[topic]."""
    from sklearn.cluster import KMeans  # slow to import
    from threadpoolctl import threadpool_limits

    # One thread: several add up in an order that differs from call to call, and so would topics.
    with threadpool_limits(1):
        means = KMeans(n_topics, n_init=_STARTS, random_state=seed).fit(units[fitted])
        topic = means.predict(units[items]).astype(np.int64)
        distances = means.transform(units[fitted])
    return topic, fitted[middles(means.labels_, distances)]


def middles(topics: IntArray, distances: Float32Array) -> IntArray:
    """The place of the item that stands for each topic: int64[topic].

    `topics`: int64[item], that of each item; `distances`: float32[item, topic], to the middle of each. A text that is a
    little like all others is near many middles: only a topic's own items stand for it.
    """
    is_own = topics[:, None] == np.arange(distances.shape[1])
    nearest: IntArray = np.argmin(np.where(is_own, distances, np.inf), axis=0)
    return nearest


def _counted(
    reference: PositiveEvents,
    current: PositiveEvents,
    of_item: IntArray,
    names: Sequence[tuple[str, ...]],
    examples: Sequence[str],
    generator: np.random.Generator,
) -> list[Topic]:
    """The topics with their shares of both periods' events."""
    then = _Shares.of(reference, of_item, len(names), generator)
    now = _Shares.of(current, of_item, len(names), generator)
    topics = []
    for place, words in enumerate(names):
        before = then.shares[place]
        after = now.shares[place]
        change = after.difference - before.difference
        # Of two independent shares: distances to the ends of their intervals add up as variances do.
        fall = math.hypot(after.difference - after.low, before.high - before.difference)
        rise = math.hypot(after.high - after.difference, before.difference - before.low)
        topics.append(
            Topic(
                words=words,
                example=examples[place],
                events=int(now.events[place]),
                reference=before.difference,
                current=after.difference,
                change_ci95=(max(change - fall, -1.0), min(change + rise, 1.0)),
                effective_reference=then.effective[place],
                effective_current=now.effective[place],
                is_new=before.difference < _NEW_BELOW <= after.difference,
            )
        )
    return topics


@dataclass(frozen=True, eq=False)
class _Shares:
    """Of each topic in one period: its share of the events with a 95% interval, and what the share is worth."""

    events: IntArray
    shares: list[Difference]
    """The share stands in `difference`: from nothing."""
    effective: list[float]

    @classmethod
    def of(cls, positives: PositiveEvents, of_item: IntArray, n_topics: int, generator: np.random.Generator) -> _Shares:
        topic = of_item[positives.items]
        # float64[event, topic]: whether the event is of the topic.
        is_of = (topic[:, None] == np.arange(n_topics)).astype(np.float64)
        return cls(
            events=np.bincount(topic, minlength=n_topics),
            # Whole users are drawn.
            shares=paired_bootstraps(is_of, groups=positives.users, n_resamples=_RESAMPLES, generator=generator),
            effective=[effective_rows(has, positives.users) for has in is_of.T.astype(np.int64)],
        )
