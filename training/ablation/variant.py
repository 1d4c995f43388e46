"""A configuration that an ablation measures, as a run that shares what the training has read and encoded."""

from __future__ import annotations

from dataclasses import dataclass

from training.config import TrainingConfig
from training.run import Run
from training.tables import Tables

FOLDER = "ablation"
"""Folder of the variants within that of the training, one each."""
SHARED_STEPS = ("encode", "tune")
"""Steps of the training whose outputs the variants read."""


@dataclass(frozen=True)
class Variant:
    """A configuration with a name."""

    name: str
    config: TrainingConfig
    retrains: bool = True
    """Whether it has a match module of its own; else another variant's, and a ranker of its own."""
    rereads: bool = False
    """Whether the store has to be read anew for it."""
    match_of: Variant | None = None
    """Whose match module it has, unless it retrains; None for the reference's."""

    def run_within(self, run: Run) -> Run:
        """The variant as a run in a folder of its own; it reads the same versions of the store."""
        variant = Run(run.out / FOLDER / self.name, run.store, Tables(), self.config, run.progress)
        variant.intake = run.intake
        if not self.config.vectors_name:
            variant.encoder = run.encoder
        if not self.rereads:
            variant.training_data = run.training_data
        variant.shared = {step: run.folder(step) for step in SHARED_STEPS if step != "tune" or not self._tunes(run)}
        return variant

    def own_steps(self, run: Run) -> tuple[str, ...]:
        """The steps of a training that are run for it."""
        if not self.retrains:
            return ()
        return ("tune", "match") if self._tunes(run) else ("match",)

    def _tunes(self, run: Run) -> bool:
        """Whether its encoder is not the training's. The only such kind leaves it frozen, which takes no time."""
        return self.config.tuning != run.config.tuning
