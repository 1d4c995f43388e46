"""All settings of a training run, with defaults that are meant for logs that nobody has tuned for.

A field's docstring is its text in docs/configuration.md and in `recmem.toml`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from feature_store import SignalConfig
from feature_store.item_vectors import MAX_NAME
from feature_store.point_in_time.covisitation import CovisitationConfig
from feature_store.settings import check_settings, setting, setting_like
from recmem.dataset.knowledge_config import KnowledgeConfig
from recmem.matching.match_module import MatchConfig
from recmem.matching.user_memory import MemoryConfig
from recmem.ranking.tree_checks import MAX_TREES
from recmem.retrieval.interleave import RetrievalConfig
from recmem.serving.champions import REGISTERED_NAME
from recmem.serving.phrases import Language
from recmem.text.encoder import EncoderConfig
from training.event_weights import event_weights_faults
from training.fitting.fit_encoder import EncoderTuningConfig
from training.fitting.fit_match import MatchTrainingConfig
from training.fitting.fit_ranker import RankerConfig
from training.own_features import feature_names_fault
from training.own_vectors import vectors_faults
from training.splits import SplitConfig, folds_fault
from training.user_features import UsersConfig

PromotionPolicy = Literal["better", "not-worse", "always", "never"]
"""When a new version takes the champion's place, see `training.evaluation.promotion`."""
_NOT_IN_NAMES = "/:"
"""MLflow refuses registered models with these in their name."""


@dataclass(frozen=True)
class TrainingConfig:
    """What is trained, how the log is split in time, and how the result is measured."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    vectors_name: str = setting("", low=0, high=MAX_NAME, remedy="Give one such as 'clip-v1'.")
    """Which of the store's vectors of items (`--vectors`) stand in for a text encoder, by their name: no encoder is
    loaded then. Empty for a text encoder, unless `--vectors` is given: then they have the name of the store's vectors
    or, if it has none yet, that of the file."""
    signals: SignalConfig = field(default_factory=SignalConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    covisitation: CovisitationConfig = field(default_factory=CovisitationConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    users: UsersConfig = field(default_factory=UsersConfig)
    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)
    tuning: EncoderTuningConfig = field(default_factory=EncoderTuningConfig)
    match: MatchTrainingConfig = field(default_factory=MatchTrainingConfig)
    n_heads: int = setting_like(MatchConfig, "n_heads", MatchConfig.n_heads, high=64)
    """Attention heads of the match module."""
    head_dim: int = setting_like(MatchConfig, "head_dim", MatchConfig.head_dim)
    """Length of the vectors in each head of the match module."""
    members: int = setting(1, low=1, high=16, remedy="Give 3, or 1 for no mean.")
    """Match modules that are fitted with seeds of their own and averaged into the one that ships. Each takes as long as
    the first, and so far a mean of 3 has not ranked better (docs/log.md)."""
    tree_members: int = setting(3, low=1, high=100, remedy="Give 3, or 1 for no mean.")
    """Models of the ranker's trees that are fitted with seeds of their own and averaged: a mean depends less on chance
    than one of them. 1 for no mean."""
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    new_item_rate: float = setting(0.5, low=0, high=100)
    """While the ranker is fitted, this share of the pairs is shown as new items, times the share of new items among the
    positives: trees learn to rely on texts where there are no events."""
    ranker_queries: int = setting(4000, low=2, high=100_000_000)
    """Queries with a retrieved positive that the ranker is fitted on, at most; evenly spread over its windows."""
    test_queries: int = setting(4000, low=1, high=100_000_000)
    """Test queries, at most; evenly spread over the test period."""
    refit: bool = setting(True)
    """Whether the model that ships learns from the test period too, once it is measured."""
    folds: int = setting(1, low=1)
    """Test periods, one after the other, that the same training is measured on; the last is the usual one."""
    ablate: bool = setting(False)
    """Whether the kinds of memory and of text features are each switched over and measured first, and those that pay
    on validation queries are trained with. Takes as long as several trainings."""
    features: tuple[str, ...] = setting((), low=1, words="a list of names of columns")
    """Columns of the impressions, and of candidates, that are features of the ranker."""
    event_weights: tuple[str, ...] = setting((), low=1, words='a list of NAME=WEIGHT, such as ["click=0.2"]')
    """How much events of a name count when they are what is to be ranked first, such as "click=0.2": 1 where nothing is
    said. Memories, counters and metrics are not weighted."""
    promote: PromotionPolicy = setting("not-worse")
    """When the new version takes the champion's place in MLflow's registry: if it is significantly better, unless it is
    significantly worse, always or never."""
    registered_name: str = setting(REGISTERED_NAME, low=1, high=200)
    """The registered model in MLflow that the run adds a version to."""
    language: Language = setting("en")
    """The language of reasons, as `recommend` and `explain` word them: English, German, Chinese or Japanese."""
    seed: int = setting(0, low=0, high=2**31 - 1, aliases=("random_state",))
    """Random seed of everything: the match module's initial weights and training steps, the ranker's trees, the
    items treated as new, ties and bootstraps of the evaluation."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if fault := folds_fault(self.split, self.folds):
            yield fault
        if self.ablate and self.folds > 1:
            yield (
                f"ablate, folds: expected one of them, got both (folds {self.folds}). What the ablation chooses has "
                "seen the tests of the earlier folds. Ablate first, then measure the chosen settings with folds."
            )
        if fault := feature_names_fault(self.features):
            yield fault
        yield from event_weights_faults(self.event_weights)
        if self.vectors_name:
            yield from vectors_faults(self.encoder, self.tuning)
        name = self.registered_name
        if not name.strip() or set(name) & set(_NOT_IN_NAMES):
            yield (
                f"registered_name: expected a name without {' and '.join(_NOT_IN_NAMES)}, got {name!r}. Try 'recmem'."
            )
        if self.ranker.rounds * self.tree_members > MAX_TREES:
            yield (
                f"ranker.rounds, tree_members: expected at most {MAX_TREES:,} trees together, got "
                f"{self.ranker.rounds} x {self.tree_members}. Lower one of them."
            )

    def match_config(self, dim: int, similarity_dim: int | None = None) -> MatchConfig:
        """The match module's shape, for vectors of `dim` numbers: see `MatchConfig` for both."""
        return MatchConfig(dim=dim, n_heads=self.n_heads, head_dim=self.head_dim, similarity_dim=similarity_dim)
