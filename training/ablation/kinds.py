"""The kinds of memory and of text features that an ablation switches over, one entry each.

To add a kind, append an entry: its name in words, and the settings that switch it on and off, or the features of the
ranker that it is. docs/ablation.md shows one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np

from recmem.matching.text_similarity import SIMILARITIES
from recmem.ranking.feature import Group
from recmem.ranking.feature_table import FACT_FEATURES, INTERESTS_SIMILARITY, SIMILARITY_SHOWN, features_in
from training.config import TrainingConfig
from training.run import Run

LEAVE_OUT = "ranker.leave_out"


def _can_always(run: Run) -> str:
    del run
    return ""


@dataclass(frozen=True)
class Kind:
    """One kind. It is switched by settings, which the match module learns with, or by the features that it is."""

    name: str
    """In files, folders and metrics."""
    words: str
    """For people, in the plural: "negative events as slots"."""
    on: Mapping[str, Any] = field(default_factory=dict)
    """Settings that switch it on, where it is off."""
    off: Mapping[str, Any] = field(default_factory=dict)
    """Settings that switch it off; with another value of any of them it is on."""
    features: tuple[str, ...] = ()
    """Features of the ranker, which goes without them if the kind is off; for a kind without settings."""
    why_not: Callable[[Run], str] = _can_always
    """Why it would change nothing on this run's data; "" if it may."""
    rereads: bool = False
    """Whether its settings change what is read of the store."""

    @property
    def retrains(self) -> bool:
        """Whether a match module has to be trained to measure it; else a ranker alone."""
        return not self.features

    def is_on(self, config: TrainingConfig) -> bool:
        """Whether a training with this configuration has it."""
        if self.features:
            return not set(self.features) <= set(config.ranker.leave_out)
        return any(attrgetter(name)(config) != value for name, value in self.off.items())

    def switched(self, config: TrainingConfig) -> dict[str, Any]:
        """The settings that switch it over in this configuration, with their values."""
        is_on = self.is_on(config)
        if not self.features:
            return dict(self.off if is_on else self.on)
        others = [name for name in config.ranker.leave_out if name not in self.features]
        # A list, as JSON and TOML have it.
        return {LEAVE_OUT: [*others, *(self.features if is_on else ())]}


def _no_negative_event(run: Run) -> str:
    data = run.training_data
    log = data.dataset.log
    has_some = bool(((log.signs < 0) & (log.times <= data.split.test_from)).any())
    return "" if has_some else "the log has no negative event before the test"


def _no_long_history(run: Run) -> str:
    data = run.training_data
    log = data.dataset.log
    n_events = np.bincount(log.user_rows[log.times <= data.split.test_from])
    recent = run.config.memory.recent
    return "" if n_events.max(initial=0) > recent else f"no user has more than {recent} events before the test"


def _no_interests(run: Run) -> str:
    return "" if run.training_data.dataset.config.interests else "no user has declared interests"


def _no_facts(run: Run) -> str:
    return "no facts of items are read" if run.training_data.dataset.config.knowledge is None else ""


def _no_fact_slots(run: Run) -> str:
    return "vectors of your own say nothing of facts" if run.config.vectors_name else _no_facts(run)


def _no_impressions(run: Run) -> str:
    return "" if run.training_data.dataset.config.has_impressions else "the log has no impressions"


def _not_tuned(run: Run) -> str:
    return "the text encoder was not tuned" if run.tuned.tensors("base") is None else ""


KINDS = (
    Kind(
        "negative_events",
        "negative events as slots",
        on={"memory.negatives": True},
        off={"memory.negatives": False},
        why_not=_no_negative_event,
    ),
    Kind(
        "retrieved",
        "retrieved older events as slots",
        on={"memory.retrieved": 10},
        off={"memory.retrieved": 0},
        why_not=_no_long_history,
    ),
    Kind(
        "consolidated",
        "consolidated older events as slots",
        on={"memory.consolidated": 4},
        off={"memory.consolidated": 0},
        why_not=_no_long_history,
    ),
    Kind(
        "declared",
        "declared interests as slots",
        on={"memory.declared": True},
        off={"memory.declared": False},
        why_not=_no_interests,
    ),
    Kind(
        "knowledge_slots",
        "facts of items as slots",
        on={"memory.knowledge": 10},
        off={"memory.knowledge": 0},
        why_not=_no_fact_slots,
        rereads=True,
    ),
    Kind(
        "not_clicked",
        "items shown and not clicked as slots",
        on={"memory.not_clicked": 10},
        off={"memory.not_clicked": 0},
        why_not=_no_impressions,
        rereads=True,
    ),
    Kind("tuned_encoder", "tuned text encoder", off={"tuning.kind": "off"}, why_not=_not_tuned),
    Kind("learned_match", "learned match", features=features_in(Group.MATCH)),
    Kind("text_similarity", "untrained text similarities", features=tuple(SIMILARITIES)),
    Kind("ease_text", "EASE with texts (ease_text)", features=features_in(Group.TEXT_COVISITATION)),
    Kind("facts", "facts of items", features=tuple(each.name for each in FACT_FEATURES), why_not=_no_facts),
    Kind(
        "shown_similarity",
        "similarity to what is shown beside",
        features=(SIMILARITY_SHOWN.name,),
        why_not=_no_impressions,
    ),
    Kind(
        "interests_similarity",
        "similarity to declared interests",
        features=(INTERESTS_SIMILARITY.name,),
        why_not=_no_interests,
    ),
)  # fmt: skip
"""All kinds: first those that need a match module of their own, then those that are features of the ranker."""
