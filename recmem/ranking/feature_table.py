"""The table of features: everything that the ranker can know about a (query, candidate) pair, one entry each.

To add a feature, append an entry to `FEATURES`; docs/adding_a_feature.md shows one. Training, serving, the audit and
the glossary (`recmem.ranking.feature_glossary`) read this table. The order of the entries is the order in which a
ranker is fitted on them.
"""

from __future__ import annotations

from collections.abc import Callable

from feature_store.point_in_time.counters import CounterConfig
from recmem.dataset.dataset import DatasetConfig
from recmem.ranking.feature import Feature, Group
from recmem.ranking.feature_computation import (
    compute_click_through,
    compute_covisitation,
    compute_facts,
    compute_interests_similarity,
    compute_item_counters,
    compute_match,
    compute_memory_size,
    compute_repeats,
    compute_shown_similarity,
    compute_user_counters,
)

FEATURES: tuple[Feature, ...] = (
    Feature(
        name="match_raw",
        group=Group.MATCH,
        meaning="Raw match score: how well the item's text fits the user's memory. A logit; any number, "
        "higher is better.",
        compute=compute_match,
    ),
    Feature(
        name="match_prior",
        group=Group.MATCH,
        meaning="The part of the raw match score that the item's text gets for every user. A logit; any number.",
        compute=compute_match,
    ),
    Feature(
        name="similarity_max",
        group=Group.SIMILARITY,
        meaning="Cosine between the item's text and the most similar text in the memory. -1 to 1; 0 without a memory.",
        compute=compute_match,
        raw=True,
    ),
    Feature(
        name="similarity_mean",
        group=Group.SIMILARITY,
        meaning="Mean cosine between the item's text and the texts in the memory. -1 to 1; 0 without a memory.",
        compute=compute_match,
    ),
    Feature(
        name="similarity_top3",
        group=Group.SIMILARITY,
        meaning="Mean cosine between the item's text and the three most similar texts in the memory. -1 to 1; 0 "
        "without a memory.",
        compute=compute_match,
        raw=True,
    ),
    Feature(
        name="similarity_last",
        group=Group.SIMILARITY,
        meaning="Cosine between the item's text and the latest text in the memory. -1 to 1; 0 without a memory.",
        compute=compute_match,
    ),
    Feature(
        name="together",
        group=Group.COVISITATION,
        meaning="How often the same users interacted with the item and with the items of the history: shrunk cosines, "
        "summed over the history. 0 or more.",
        compute=compute_covisitation,
        new_item=0.0,
    ),
    Feature(
        name="together_recent",
        group=Group.COVISITATION,
        meaning="As `together`, with recent visits weighing more (half-life: 3 visits by default). 0 or more.",
        compute=compute_covisitation,
        new_item=0.0,
    ),
    Feature(
        name="follow",
        group=Group.COVISITATION,
        meaning="How often users interacted with the item within a few visits after an item of the history, summed "
        "over the history (half-life: 20 visits by default). 0 or more.",
        compute=compute_covisitation,
        new_item=0.0,
    ),
    Feature(
        name="follow_recent",
        group=Group.COVISITATION,
        meaning="As `follow`, with recent visits weighing more (half-life: 3 visits by default). 0 or more.",
        compute=compute_covisitation,
        new_item=0.0,
    ),
    Feature(
        name="near",
        group=Group.COVISITATION,
        meaning="How close together users interacted with the item and with the items of the history, within 5 visits "
        "in either order: shrunk cosines, summed over the history (half-life: 3 visits by default). 0 or more.",
        compute=compute_covisitation,
        new_item=0.0,
    ),
    Feature(
        name="near_recent",
        group=Group.COVISITATION,
        meaning="As `near`, for the items of the latest visit alone. 0 or more.",
        compute=compute_covisitation,
        new_item=0.0,
    ),
    Feature(
        name="ease",
        group=Group.COVISITATION,
        meaning="EASE weights between the item and the items of the history, summed: co-occurrence that other items do "
        "not explain. 0 or more.",
        compute=compute_covisitation,
        new_item=0.0,
    ),
    Feature(
        name="ease_recent",
        group=Group.COVISITATION,
        meaning="As `ease`, with recent visits weighing more (half-life: 20 visits by default). 0 or more.",
        compute=compute_covisitation,
        new_item=0.0,
    ),
    Feature(
        name="ease_text",
        group=Group.TEXT_COVISITATION,
        meaning="As `ease`, where words that the texts of two items share count like users that they share; so an item "
        "without any event is linked by its words. Summed over the history (half-life: 20 visits by default). 0 or "
        "more; 0 for an item beyond the 54,000 most frequent, and in a catalogue of more than 200,000 items.",
        compute=compute_covisitation,
    ),
    Feature(
        name="ease_text_recent",
        group=Group.TEXT_COVISITATION,
        meaning="As `ease_text`, with recent visits weighing more (half-life: 3 visits by default). 0 or more.",
        compute=compute_covisitation,
    ),
    Feature(
        name="popularity",
        group=Group.POPULARITY,
        meaning="log(1 + events of the item so far). 0 or more.",
        compute=compute_item_counters,
        new_item=0.0,
    ),
    Feature(
        name="popularity_short",
        group=Group.POPULARITY,
        meaning="log(1 + events of the item in the short window: by default the last 1/200 of the training log's "
        "length). 0 or more.",
        compute=compute_item_counters,
        new_item=0.0,
    ),
    Feature(
        name="popularity_medium",
        group=Group.POPULARITY,
        meaning="log(1 + events of the item in the medium window: by default the last 1/50 of the training log's "
        "length). 0 or more.",
        compute=compute_item_counters,
        new_item=0.0,
    ),
    Feature(
        name="popularity_long",
        group=Group.POPULARITY,
        meaning="log(1 + events of the item in the long window: by default the last 1/12 of the training log's "
        "length). 0 or more.",
        compute=compute_item_counters,
        new_item=0.0,
    ),
    Feature(
        name="trend",
        group=Group.POPULARITY,
        meaning="Share of the item's events in the long window that fall into the medium window, smoothed. 0 to 1; "
        "higher for items on the rise, 0.24 by default for an item without any event.",
        compute=compute_item_counters,
        raw=True,
        new_item=lambda windows: windows.medium / windows.long,
    ),
    Feature(
        name="item_age",
        group=Group.POPULARITY,
        meaning="Time since the item's first event, in lengths of the training log. 0 or more; -1 for an item without "
        "any event.",
        compute=compute_item_counters,
        raw=True,
        new_item=-1.0,
    ),
    Feature(
        name="click_through",
        group=Group.IMPRESSIONS,
        meaning="Share of the item's impressions that were clicked, smoothed by 20 impressions at the average rate. "
        "0 to 1.",
        compute=compute_click_through,
        raw=True,
    ),
    Feature(
        name="shown",
        group=Group.IMPRESSIONS,
        meaning="log(1 + impressions of the item so far). 0 or more.",
        compute=compute_click_through,
    ),
    Feature(
        name="user_events",
        group=Group.USER,
        meaning="log(1 + events of the user so far). 0 or more.",
        compute=compute_user_counters,
        per_query=True,
        raw=True,
    ),
    Feature(
        name="user_gap",
        group=Group.USER,
        meaning="log(1 + time since the user's latest event, in lengths of the short window). 0 or more; -1 for a user "
        "without any event.",
        compute=compute_user_counters,
        per_query=True,
        raw=True,
    ),
    Feature(
        name="memory_size",
        group=Group.USER,
        meaning="log(1 + events in the user's history, at most 200; the history, despite the name). 0 to 5.3.",
        compute=compute_memory_size,
        per_query=True,
        raw=True,
    ),
)


INTERESTS_SIMILARITY = Feature(
    name="interests_similarity",
    group=Group.SIMILARITY,
    meaning="Cosine between the item's text and the interests that the user has declared in the users table, as of the "
    "time of the query. -1 to 1; missing without any.",
    compute=compute_interests_similarity,
    raw=True,
)
"""The feature of a users table with declared interests."""
REPEAT_FEATURES = (
    Feature(
        name="times_had",
        group=Group.REPEATS,
        meaning="log(1 + positive events of the history on the item). 0 or more.",
        compute=compute_repeats,
        raw=True,
        new_item=0.0,
    ),
    Feature(
        name="visits_since_had",
        group=Group.REPEATS,
        meaning="log(1 + visits of the user since the latest positive event on the item). 0 or more; -1 if the history "
        "has none.",
        compute=compute_repeats,
        raw=True,
        new_item=-1.0,
    ),
    Feature(
        name="time_since_had",
        group=Group.REPEATS,
        meaning="log(1 + time since the user's latest positive event on the item, in lengths of the short window). 0 "
        "or more; -1 if the history has none.",
        compute=compute_repeats,
        raw=True,
        new_item=-1.0,
    ),
)
"""The features of a model that ranks items which users have had before: it was trained with `--no-exclude-seen`."""

SIMILARITY_SHOWN = Feature(
    name="similarity_shown",
    group=Group.SIMILARITY,
    meaning="Mean cosine between the item's text and the texts of all candidates of the query: high for a text that is "
    "like everything beside it, whose similarities to a memory say little. -1 to 1; only in models that were trained "
    "on impressions.",
    compute=compute_shown_similarity,
)
"""The feature of a training on impressions. Retrieved candidates are alike because of what they were retrieved by."""

FACT_FEATURES = (
    Feature(
        name="facts_shared",
        group=Group.KNOWLEDGE,
        meaning="How much the item's facts agree with those of the history's positive items: cosines of the two items' "
        "facts, rare ones weighing more, summed over the items (half-life: 20 visits). 0 or more.",
        compute=compute_facts,
    ),
    Feature(
        name="facts_max",
        group=Group.KNOWLEDGE,
        meaning="The largest over the item's facts of log(items / items that have the fact), times the number of the "
        "history's positive items that have it (half-life: 20 visits). 0 or more.",
        compute=compute_facts,
    ),
    Feature(
        name="facts_negative",
        group=Group.KNOWLEDGE,
        meaning="As `facts_shared`, with the history's negative items. 0 or more.",
        compute=compute_facts,
    ),
)
"""The features of a store with facts, or of columns that are read as facts."""

OPTIONAL_OF: tuple[tuple[Callable[[DatasetConfig], bool], tuple[Feature, ...]], ...] = (
    (lambda config: bool(config.interests), (INTERESTS_SIMILARITY,)),
    (lambda config: config.has_impressions, (SIMILARITY_SHOWN,)),
    (lambda config: config.knowledge is not None, FACT_FEATURES),
    (lambda config: config.repeats, REPEAT_FEATURES),
)
"""Features that only some datasets have: which, and those."""
OPTIONAL = tuple(feature for _, features in OPTIONAL_OF for feature in features)


def features_in(*groups: Group) -> tuple[str, ...]:
    """Names of the table's features in these groups, in order."""
    return tuple(feature.name for feature in FEATURES if feature.group in groups)


def new_item_values(windows: CounterConfig) -> dict[str, float]:
    """The features that depend on the item's events, with their values for an item that has none.

    A model may lack those of `OPTIONAL`.
    """
    values: dict[str, float] = {}
    for feature in (*FEATURES, *OPTIONAL):
        if feature.new_item is not None:
            values[feature.name] = feature.new_item(windows) if callable(feature.new_item) else feature.new_item
    return values


TEXT_FEATURES = (
    *features_in(Group.MATCH, Group.SIMILARITY, Group.TEXT_COVISITATION),
    INTERESTS_SIMILARITY.name,
    SIMILARITY_SHOWN.name,
    *(feature.name for feature in FACT_FEATURES),
)
"""The features that read texts, or facts: all that `ranker_without_match` is fitted without."""
COVISITATION_FEATURES = features_in(Group.COVISITATION, Group.TEXT_COVISITATION)
IMPRESSION_FEATURES = features_in(Group.IMPRESSIONS)
"""Constant where a log has no impressions."""
