"""Which settings each step of a training reads: a change of one changes the keys of these steps, and of no other."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from training.config import TrainingConfig
from training.configuration.all_settings import all_settings

_TIMES = ("split.ranker_from", "split.test_from", "split.test_until")
"""Where the log is cut. The windows of `split` lie between two of these; only the ranker and what follows read them."""
_MODULE = (
    *("encoder", "vectors_name", "signals", "event_weights", "memory", "n_heads", "head_dim", "seed"),
    *("knowledge", "retrieval.exclude_seen"),
)
"""What the match module is, what it learns from, and what it remembers."""
_RANKING = (*_MODULE, "members", "split", "covisitation", "retrieval", "tree_members", "features", "users")
"""What candidates are retrieved, and their features."""

STEP_SETTINGS = {
    "ingest": (
        *("signals", "features", "users", "vectors_name", "event_weights"),
        *("ranker.position_debiasing", "retrieval.exclude_seen"),
    ),
    # It also checks that the ranker and the test have queries: that depends on the split, and on which events are
    # positive.
    # Interests and facts are encoded as the tables are read, in every process.
    "encode": ("encoder", "vectors_name", "signals", *_TIMES, "retrieval.exclude_seen"),
    "tune": (*_MODULE, *_TIMES, "match", "tuning", "users.interests"),
    "match": (*_MODULE, *_TIMES, "match", "members", "ranker.position_debiasing", "users.interests"),
    "rank": (*_RANKING, "ranker", "ranker_queries", "new_item_rate"),
    "evaluate": (*_RANKING, "test_queries", "language"),
    "refit": (*_RANKING, "match", "ranker", "ranker_queries", "new_item_rate", "test_queries", "refit", "language"),
    "calibrate": (
        # The log and its test queries.
        *("encoder", "vectors_name", "signals", "split", "covisitation", "features", "users"),
        *("knowledge", "memory.knowledge", "memory.not_clicked"),
        *("retrieval", "test_queries", "registered_name"),
    ),
    "compare": (
        # The log and its test queries.
        *("encoder", "vectors_name", "signals", *_TIMES, "features", "users"),
        *("knowledge", "memory.knowledge", "memory.not_clicked"),
        *("test_queries", "retrieval.exclude_seen", "promote", "registered_name"),
    ),
    "report": tuple(all_settings()),  # it shows and writes all of them
}
"""Step to the names of settings, or of sections of which it reads any. What it gets from earlier steps, such as the
rankers, is in its key by the content of their files."""


def settings_of(step: str) -> list[str]:
    """The names of the settings that a step reads."""
    wanted = STEP_SETTINGS[step]
    return [name for name in all_settings() if name in wanted or any(name.startswith(f"{each}.") for each in wanted)]


def step_parameters(config: TrainingConfig, step: str) -> dict[str, Any]:
    """The values of the settings that a step reads, by name."""
    return {name: attrgetter(name)(config) for name in settings_of(step)}
