"""One training run: its folder, its store, its settings, and what each step leaves for the ones after it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from safetensors.torch import load_file

from feature_store import DataError, Store
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.matcher import Matcher
from recmem.ranking.ranker import Ranker
from recmem.text.encoder import TextEncoder
from training.config import TrainingConfig
from training.evaluation.ledger import Ledger
from training.progress import Progress
from training.training_data import TrainingData, read_training_data


@dataclass(frozen=True)
class Tables:
    """Files to ingest; none where the store already holds what is needed."""

    items: str | None = None
    events: str | None = None
    impressions: str | None = None


@dataclass(frozen=True)
class TrainingResult:
    """Where a run left what it made."""

    out: Path
    ledger: Ledger
    bundle: Path
    report: Path
    version: str | None
    """Version in the model registry."""


@dataclass(eq=False)
class Run:
    """One run: where it works, on what, and how it tells of it."""

    out: Path
    store: Store
    tables: Tables
    config: TrainingConfig
    progress: Progress

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder, loaded on first use."""
        return TextEncoder.load(self.config.encoder)

    @cached_property
    def training_data(self) -> TrainingData:
        """The store as this run reads it; encodes texts that are not cached."""
        with self.progress.stage("Encoding texts", len(self.store.items())) as advance:
            return read_training_data(self.store, self.config, encoder=self.encoder, on_text=advance)

    def folder(self, step: str) -> Path:
        """What a step leaves for the ones after it."""
        folder = self.out / "work" / step
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def module(self, name: str) -> MatchModule:
        """The match module that the step `match` left: `base` or `final`."""
        module = MatchModule(self.match_config)
        module.load_state_dict(load_file(self.folder("match") / f"{name}.safetensors"))
        return module.eval()

    def matcher(self, name: str) -> Matcher:
        """The module over the catalogue's texts."""
        return Matcher.of(self.module(name), self.training_data.unit, self.config.memory)

    @property
    def match_config(self) -> MatchConfig:
        """The shape of the match module."""
        return MatchConfig(
            dim=self.training_data.unit.shape[1], n_heads=self.config.n_heads, head_dim=self.config.head_dim
        )


def open_run(tables: Tables, out: Path, store: str | None, config: TrainingConfig, progress: Progress) -> Run:
    """A run in the folder `out`; `store` defaults to `out`/store and is made where it does not exist."""
    folder = Path(out).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"out: expected a folder that can be written, got {folder} ({error}). Name another.") from error
    return Run(folder, Store.open_or_create(store or folder / "store"), tables, config, progress)


def load_ranker(run: Run, name: str) -> Ranker:
    """A ranker that the step `rank` left."""
    return Ranker.from_files(
        {file: (run.folder("rank") / f"{name}.{file}").read_text() for file in ("ranker.txt", "ranker.json")}
    )
