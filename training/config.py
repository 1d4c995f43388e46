"""Everything that a training run can be told, with defaults for data that nobody here has seen."""

from __future__ import annotations

from dataclasses import dataclass, field

from feature_store import SignalConfig
from feature_store.point_in_time.covisitation import CovisitationConfig
from recmem.matching.user_memory import MemoryConfig
from recmem.retrieval.retrieve import RetrievalConfig
from recmem.text.encoder import EncoderConfig
from training.fitting.fit_match import MatchTrainingConfig
from training.fitting.fit_ranker import RankerConfig
from training.splits import SplitConfig


@dataclass(frozen=True)
class TrainingConfig:
    """What is trained, on which cuts, and how it is measured."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    signals: SignalConfig = field(default_factory=SignalConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    covisitation: CovisitationConfig = field(default_factory=CovisitationConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    match: MatchTrainingConfig = field(default_factory=MatchTrainingConfig)
    n_heads: int = 4
    """Heads of the match module."""
    head_dim: int = 32
    """Width of a head."""
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    new_item_rate: float = 0.5
    """Pairs whose item is treated as new in training, per new item among the positives: see `training.fitting.new_items`."""
    ranker_queries: int = 2400
    """Queries that the ranker is fitted on, at most; evenly spread over its windows."""
    test_queries: int = 4000
    """Test queries, at most; evenly spread over the test period."""
    seed: int = 0
    """Of everything that is drawn."""
