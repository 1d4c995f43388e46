"""All settings of a training run, with defaults that are meant for logs that nobody has tuned for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from feature_store import SignalConfig
from feature_store.point_in_time.covisitation import CovisitationConfig
from recmem.matching.match_module import MatchConfig
from recmem.matching.user_memory import MemoryConfig
from recmem.retrieval.interleave import RetrievalConfig
from recmem.serving.champions import REGISTERED_NAME
from recmem.text.encoder import EncoderConfig
from training.fitting.fit_encoder import EncoderTuningConfig
from training.fitting.fit_match import MatchTrainingConfig
from training.fitting.fit_ranker import RankerConfig
from training.own_features import check_feature_names
from training.splits import SplitConfig, fold_splits

PromotionPolicy = Literal["better", "not-worse", "always", "never"]
"""When a new version takes the champion's place, see `training.evaluation.promotion`."""
_NOT_IN_NAMES = "/:"
"""MLflow refuses registered models with these in their name."""


@dataclass(frozen=True)
class TrainingConfig:
    """What is trained, how the log is split in time, and how the result is measured."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    signals: SignalConfig = field(default_factory=SignalConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    covisitation: CovisitationConfig = field(default_factory=CovisitationConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    tuning: EncoderTuningConfig = field(default_factory=EncoderTuningConfig)
    match: MatchTrainingConfig = field(default_factory=MatchTrainingConfig)
    n_heads: int = MatchConfig.n_heads
    """Heads of the match module, see `MatchConfig`; the length of its vectors is the encoder's."""
    head_dim: int = MatchConfig.head_dim
    """Width of a head, see `MatchConfig`."""
    members: int = 1
    """Match modules that are fitted with seeds of their own and averaged into the one that ships. Each takes as long as
    the first, and so far a mean of 3 has not ranked better (docs/log.md)."""
    tree_members: int = 3
    """Models of the ranker's trees that are fitted with seeds of their own and averaged: a mean depends less on chance
    than one of them. 1 for no mean."""
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    new_item_rate: float = 0.5
    """Share of pairs that the ranker is shown as new items, per share of new items among the positives: see
    `training.fitting.new_items`."""
    ranker_queries: int = 4000
    """Queries with a retrieved positive that the ranker is fitted on, at most; evenly spread over its windows."""
    test_queries: int = 4000
    """Test queries, at most; evenly spread over the test period."""
    refit: bool = True
    """Whether the model that ships learns from the test period too, once it is measured."""
    folds: int = 1
    """Test periods, one after the other, that the same training is measured on; the last is the usual one."""
    features: tuple[str, ...] = ()
    """Columns of the impressions, and of candidates, that are features of the ranker."""
    promote: PromotionPolicy = "not-worse"
    """When the new version takes the champion's place: if it is significantly better, unless it is significantly worse,
    always or never."""
    registered_name: str = REGISTERED_NAME
    """The registered model in MLflow that the run adds a version to."""
    seed: int = 0
    """Seeds every generator of the run: the match module's initial weights and training steps, the ranker's trees, the
    items treated as new, ties and bootstraps of the evaluation."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed: expected 0 or more, got {self.seed}. Give a non-negative integer.")
        check_feature_names(self.features)
        if self.promote not in get_args(PromotionPolicy):
            choices = ", ".join(get_args(PromotionPolicy))
            raise ValueError(f"promote: expected one of {choices}, got {self.promote!r}. Try 'not-worse'.")
        name = self.registered_name
        if not isinstance(name, str) or not name.strip() or set(name) & set(_NOT_IN_NAMES):
            raise ValueError(
                f"registered_name: expected a name without {' and '.join(_NOT_IN_NAMES)}, got {name!r}. Try 'recmem'."
            )
        fold_splits(self.split, self.folds)
        for name in ("members", "tree_members"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}. Give 3, or 1 for no mean.")

    def match_config(self, dim: int, similarity_dim: int | None = None) -> MatchConfig:
        """The match module's shape, for vectors of `dim` numbers: see `MatchConfig` for both."""
        return MatchConfig(dim=dim, n_heads=self.n_heads, head_dim=self.head_dim, similarity_dim=similarity_dim)
