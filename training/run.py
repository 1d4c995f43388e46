"""One training run: its folder, store and settings, and what each step leaves in the folder for later steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from feature_store import DataError, Receipt, Store
from feature_store.item_vectors import space_name
from feature_store.pinned_store import PinnedStore
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.mean_module import mean_module
from recmem.ranking.ranker import Ranker
from recmem.text.encoder import TextEncoder, encoder_fingerprint
from recmem.text.encoder_files import DEFAULT_ENCODER
from recmem.text.encoder_settings import setting_warnings
from recmem.text.torch_device import Dtype
from recmem.text.unit_vectors import exact_units
from recmem.text.vector_cache import BASE_VECTORS, VECTORS_FOLDER, VectorCache
from training.config import TrainingConfig
from training.data_warnings import language_warnings
from training.evaluation.folds import Folds
from training.evaluation.ledger import Ledger
from training.evaluation.verdict import Champion, Verdict
from training.fitting.fit_ranker import RankingData
from training.intake import Intake, intake_of
from training.own_features import own_features
from training.own_vectors import vectors_sentence
from training.progress import Progress
from training.tables import Tables
from training.training_data import TrainingData, read_training_data
from training.training_device import matcher_for_training
from training.tuned_encoders import TunedEncoders

ModuleName = Literal["base", "final"]
"""`base` has learned from events before the ranker's windows only, `final` from all before the test."""

RANKER_FILES = ("ranker.txt", "ranker.json")
INTAKE = "intake.json"
"""What the step `ingest` leaves for the other steps."""


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a run, and where its files are."""

    out: Path
    """The run's folder."""
    ledger: Ledger
    """All figures, as in `ledger.json`."""
    bundle: Path
    """The trained model, for `recmem.load`."""
    measured_bundle: Path
    """The model that the ledger's figures are of, which has not learned from the test period."""
    report: Path
    """The figures as an HTML page."""
    version: str | None
    """Version in MLflow's model registry."""
    verdict: Verdict
    """Whether that version was to become champion, and why."""
    registration: str
    """What was registered, as sentences."""
    intake: Intake
    """What was read of the tables, and what of the store was used."""
    warnings: tuple[str, ...] = ()
    """What was used but looks wrong, or only in part: a sentence or two each."""
    folds: Folds | None = None
    """The figures of the rolling-origin check, as in `folds.json`; None without one."""
    encoder: str = ""
    """Whether the text encoder was tuned, and why: a sentence."""

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """One per table that was given: new, duplicate and rejected rows; `intake.reused` if an earlier run read it."""
        return self.intake.receipts

    @property
    def events_of_unknown_items(self) -> int:
        """Events that were left out because their item is not among the items."""
        return self.intake.n_unmatched("events.item_id")


@dataclass(eq=False)
class Run:
    """One run: its folder, its inputs, its settings."""

    out: Path
    store: Store
    """As it is now, to append to; what the run learns from is `pinned`."""
    tables: Tables
    config: TrainingConfig
    progress: Progress
    champion: Champion | None = None
    """The version that the step `compare` compares with; None if there is none, or before that step."""
    pairs: dict[str, RankingData] = field(default_factory=dict, repr=False)
    """Pairs with features and labels by the step that has computed them in this process, for the step `refit`."""
    shared: dict[str, Path] = field(default_factory=dict)
    """Folders of steps that another run has left, by the step's name."""
    _vectors: dict[ModuleName, Tensor] = field(default_factory=dict, repr=False)

    @cached_property
    def intake(self) -> Intake:
        """What the step `ingest` left; if it was never run here, the store as it is now, kept for the other steps."""
        kept = self.kept_intake()
        if kept is None:
            kept = intake_of(self.store, (), self.config)
            kept.write(self.folder("ingest") / INTAKE)
        return kept

    def kept_intake(self) -> Intake | None:
        """What the last step `ingest` left in this folder; None if there is none that can be read."""
        try:
            return Intake.read(self.folder("ingest") / INTAKE)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @cached_property
    def pinned(self) -> Store:
        """The store at the versions that the step `ingest` left: all that this run reads."""
        return PinnedStore.at(self.store, self.intake.versions, self.intake.digest)

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder, loaded on first use."""
        return self.load_encoder()

    def load_encoder(self, *, dtype: Dtype = "auto") -> TextEncoder:
        """The text encoder, loaded anew. Raises DataError if it cannot be found or used."""
        try:
            return TextEncoder.load(self.config.encoder, dtype=dtype)
        except (OSError, ValueError) as error:
            raise DataError(str(error)) from error

    @cached_property
    def encoder_fingerprint(self) -> str:
        """The text encoder's fingerprint, from its files alone. Raises DataError if it cannot be found or read.

        With vectors in its place, what identifies these beside the store's digest: their name.
        """
        if self.config.vectors_name:
            return f"vectors {self.config.vectors_name}"
        try:
            return encoder_fingerprint(self.config.encoder)
        except (OSError, ValueError) as error:
            raise DataError(str(error)) from error

    @cached_property
    def training_data(self) -> TrainingData:
        """The store as this run reads it; texts that are not cached are encoded on first use."""
        if self.config.vectors_name:
            return read_training_data(self.pinned, self.config, encoder=None)
        encoder = self.encoder  # an error in words is easier to read without a bar before it
        with self.progress.stage("Encoding texts", len(self.pinned.items())) as advance:
            data = read_training_data(self.pinned, self.config, encoder=encoder, on_text=advance)
        warnings = [*setting_warnings(self.config.encoder)]
        if self.config.encoder.name == DEFAULT_ENCODER:
            warnings += language_warnings(data.dataset.catalogue.texts)
        return replace(data, warnings=(*warnings, *data.warnings))

    @cached_property
    def tuned(self) -> TunedEncoders:
        """What the step `tune` left."""
        return TunedEncoders.read(self.folder("tune"))

    @property
    def encoder_sentence(self) -> str:
        """What reads the items' texts, and whether it was tuned."""
        vectors = self.training_data.vectors
        return self.tuned.sentence if vectors is None else vectors_sentence(vectors.name, vectors.dim)

    def tuned_encoder(self, name: ModuleName) -> TextEncoder | None:
        """The encoder tuned on the same part of the log as the match module of this name; None if it stayed frozen."""
        learned = self.tuned.tensors(name)
        return None if learned is None else self.encoder.tuned(*learned)

    def vectors(self, name: ModuleName) -> Float[Tensor, "item width"]:
        """What the match module of this name reads of the items' texts.

        The unit vectors of the frozen encoder and, if it was tuned, those of the tuned one beside them.
        """
        if name not in self._vectors:
            self._vectors[name] = self._read_vectors(name)
        return self._vectors[name]

    def _read_vectors(self, name: ModuleName) -> Float[Tensor, "item width"]:
        frozen = self.training_data.unit
        encoder = self.tuned_encoder(name)
        if encoder is None:
            return frozen
        # `final` is served, so its vectors belong to the store; nobody reads those of `base` after training.
        place = f"{self.store.path}/{VECTORS_FOLDER}" if name == "final" else self.out / BASE_VECTORS
        cache = VectorCache(place, encoder.fingerprint, encoder.dim)
        texts = self.training_data.dataset.catalogue.texts
        with self.progress.stage(f"Encoding texts, tuned ({name})", len(texts)) as advance:
            tuned = cache.get_or_encode(texts, encoder, on_progress=advance)
        return torch.cat([frozen, exact_units(tuned)], dim=1)

    def forget(self) -> None:
        """Frees what was read of the store, which may be large; it is read again on next use."""
        self.__dict__.pop("training_data", None)
        self._vectors.clear()
        self.pairs.clear()

    def folder(self, step: str) -> Path:
        """The folder `work/<step>`, where the step leaves files for later steps; made on first use."""
        folder = self.shared.get(step, self.out / "work" / step)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def module(self, name: ModuleName) -> MatchModule:
        """The match module that the step `match` left: the mean of its members."""
        return mean_module(self.members(name))

    def members(self, name: ModuleName) -> tuple[MatchModule, ...]:
        """The match modules that the step `match` left, which differ in their seeds; `module` is their mean."""
        return tuple(self._member(name, member) for member in range(self.config.members))

    def _member(self, name: ModuleName, member: int) -> MatchModule:
        weights = load_file(self.folder("match") / member_file(name, member))
        return MatchModule.from_weights(self.match_config, weights).eval()

    def matcher(self, name: ModuleName) -> Matcher:
        """A match module that the step `match` left, over the catalogue's texts."""
        return matcher_for_training(self.module(name), self.vectors(name), self.config.memory)

    def ranker(self, name: str) -> Ranker:
        """A ranker that the step `rank` left: `ranker_with_match` or `ranker_without_match`."""
        folder = self.folder("rank")
        return Ranker.from_files({file: (folder / f"{name}.{file}").read_text() for file in RANKER_FILES})

    @property
    def match_config(self) -> MatchConfig:
        """The shape of a member of the match module; `module` has the heads of all of them."""
        similarity_dim = self.training_data.unit.shape[1]
        dim = self.vectors("base").shape[1]
        return self.config.match_config(dim, similarity_dim if dim > similarity_dim else None)


def member_file(name: str, member: int) -> str:
    """The file of a member, counted from 0, in the folder of the step `match`."""
    return f"{name}.{member}.safetensors"


def open_run(tables: Tables, out: Path, store: str | None, config: TrainingConfig, progress: Progress) -> Run:
    """A run in the folder `out`; `store` defaults to `out`/store and is created if tables are given.

    Raises DataError if `out` cannot be written, if there is neither a store nor a table, if own features are named and
    there are no impressions with them, or if vectors are given that the settings do not allow.
    """
    folder = Path(out).absolute()
    place = store or folder / "store"
    # A new store is created by the step `ingest`, once its tables were checked: a refused one leaves no empty store.
    # Without tables there is nothing to put into one, and a path without a store is a mistake.
    opened = Store(place) if tables.given() else Store.open(place)
    if config.features and tables.impressions is None:
        own_features(opened.impressions(), config.features)  # before anything is written
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"out: expected a writable folder, got {folder} ({error}). Choose another folder.") from error
    return Run(folder, opened, tables, with_vectors_name(config, opened, tables), progress)


def with_vectors_name(config: TrainingConfig, store: Store, tables: Tables) -> TrainingConfig:
    """The settings with the name of the vectors that are given. Raises DataError if other settings do not fit them."""
    if tables.vectors is None:
        return config
    try:
        return replace(config, vectors_name=space_name(store, config.vectors_name, tables.vectors))
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(error)) from error
