"""The phases of encoder tuning: learn, decide on a held-out part, and if it pays, carry on to the test's begin.

Modules here learn from and are judged on memories of events alone: what is beside events has no tuned vector, and the
question is what tuning adds. The step `match` fits modules of their own, on memories as they are configured.

Each phase leaves checkpoints, so that a run that was killed goes on where it was and ends at the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recmem.matching.match_module import MatchModule
from recmem.text.encoder import TextEncoder
from recmem.text.encoder_tuning import EncoderTuning, tuned_tensors
from training.config import TrainingConfig
from training.evaluation.encoder_choice import EncoderChoice, HeldOutFigures, HeldOutPart
from training.fitting.fit_encoder import EncoderFit, averaged, under
from training.fitting.fit_match import fit_match
from training.fitting.match_batches import MatchBatches
from training.fitting.tuned_texts import TunedTexts
from training.fitting.tuning_progress import TuningProgress
from training.progress import Progress
from training.training_data import TrainingData
from training.training_device import training_device

FROZEN = "frozen"
LEARN = "learn"
CHOSEN = "chosen"


@dataclass(eq=False)
class EncoderTuner:
    """One tuning; `run` is all there is to call."""

    data: TrainingData
    config: TrainingConfig
    encoder: TextEncoder
    """In float32, changed in place."""
    tuning: EncoderTuning
    progress: TuningProgress
    stages: Progress

    def __post_init__(self) -> None:
        self._held_from = held_out_from(self.data, self.config.tuning.held_out)
        self._part = HeldOutPart.between(
            self.data.dataset,
            self._held_from,
            self.data.split.ranker_from,
            limit=self.config.tuning.held_out_queries,
            memory=self.config.memory.of_events,
            seed=self.config.seed,
        )

    def run(self) -> tuple[EncoderChoice, dict[str, dict[str, Tensor]]]:
        """The decision and, if the tuned encoder is kept, its tensors `base` and `final`.

        Raises ValueError if this encoder cannot be tuned so, ImportError if an extra is missing.
        """
        if not self._part.is_enough or not self._batches(self._held_from, self.config.seed).n_examples:
            return self._part.too_small(), {}
        texts = self._texts()
        first = tuned_tensors(texts.model)
        chosen = self.progress.read(CHOSEN)
        if chosen is None:
            chosen = self._choose(texts, first)
            self.progress.write(CHOSEN, *chosen)
            self.progress.remove(LEARN)
        learned, facts = chosen
        choice = EncoderChoice(**facts)
        return choice, self._carry_on(texts, learned) if choice.is_tuned else {}

    def _texts(self) -> TunedTexts:
        settings = self.config.tuning
        texts = self.data.dataset.catalogue.texts
        # Only 'last' has something to compute ahead.
        with self.stages.stage("Encoding texts up to the tuned layers", None) as advance:
            return TunedTexts(
                self.encoder,
                self.tuning,
                texts,
                max_tokens=settings.max_tokens,
                chunk_tokens=settings.chunk_tokens,
                on_text=advance,
            )

    def _choose(self, texts: TunedTexts, first: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The best weights of the first fit, and whether they are kept."""
        fit = self._fit(texts, self._new_module(), self._held_from, share=1.0, seed=0)
        frozen = self._frozen_figures(fit.steps)
        best = self._learn(fit)
        if not best:
            return {}, asdict(self._part.diverged())
        tried = []
        for share in self.config.tuning.averages:
            encoder = averaged(first, under(best, "encoder."), share)
            learned = best | {f"encoder.{name}": tensor for name, tensor in encoder.items()}
            fit.take_back(learned)
            tried.append((self._figures(fit), learned))
        figures, learned = tried[self._part.picked(frozen, [figures for figures, _ in tried])]
        return learned, asdict(self._part.decide(frozen, figures))

    def _frozen_figures(self, steps: int) -> HeldOutFigures:
        """What a module of its own, trained for as many steps, reaches on frozen vectors."""
        kept = self.progress.read(FROZEN)
        if kept is not None:
            return HeldOutFigures(kept[0]["ranks"].numpy(), kept[0]["ndcg"].numpy())
        seed = self.config.seed
        unit = self.data.unit
        module = MatchModule(self.config.match_config(unit.shape[1]), torch.Generator().manual_seed(seed))
        with self.stages.stage("Fitting on the frozen encoder", steps) as advance:
            fit_match(
                module,
                unit,
                self._batches(self._held_from, seed),
                steps=steps,
                config=self.config.match,
                generator=torch.Generator().manual_seed(seed),
                on_step=lambda step, loss: advance(1),
            )
        device = training_device()
        figures = self._part.figures(module.to(device), unit.to(device))
        kept_figures = {"ranks": torch.from_numpy(figures.ranks), "ndcg": torch.from_numpy(figures.ndcg)}
        self.progress.write(FROZEN, kept_figures, {})
        return figures

    def _learn(self, fit: EncoderFit) -> dict[str, Tensor]:
        """Runs the first fit until it ends or its figures stop rising; the weights of the best check.

        Empty if the loss stops being finite before there was one.
        """
        settings = self.config.tuning
        checked_at = {max(round(fit.steps * check / settings.checks), 1) for check in range(1, settings.checks + 1)}
        checks: list[tuple[int, float]] = []
        best: dict[str, Tensor] = {}
        kept = self.progress.read(LEARN)
        with self.stages.stage("Tuning the text encoder", fit.steps) as advance:
            if kept is not None:
                fit.restore(*kept)
                checks = [(step, figure) for step, figure in kept[1]["checks"]]
                best = under(kept[0], "best.")
                advance(fit.step)
            while fit.step < fit.steps and not _has_peaked(checks, settings.patience):
                if not math.isfinite(fit.run_step()):
                    break
                advance(1)
                is_check = fit.step in checked_at
                if is_check:
                    figure = self._figures(fit).mean(~self._part.decides)
                    if not checks or figure > max(known for _, known in checks):
                        best = fit.learned()
                    checks.append((fit.step, figure))
                if is_check or fit.step % settings.save_every == 0:
                    tensors, facts = fit.state()
                    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
                    self.progress.write(LEARN, tensors, facts | {"checks": checks})
        return best

    def _carry_on(self, texts: TunedTexts, learned: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Goes on over the held-out part (`base`) and the ranker's windows (`final`), recent queries preferred."""
        split = self.data.split
        shares = {
            "base": (split.ranker_from, self.config.tuning.carried),
            "final": (split.test_from, self.config.match.continued),
        }
        outcome = {}
        for number, (name, (until, share)) in enumerate(shares.items(), start=1):
            module = self._new_module()
            fit = self._fit(texts, module, until, share=share, seed=number, prefers_recent=True)
            fit.take_back(learned)
            with self.stages.stage(f"Tuning the text encoder ({name})", fit.steps) as advance:
                for _ in self._steps(fit, name):
                    advance(1)
            learned = fit.learned()
            outcome[name] = under(learned, "encoder.")
        return outcome

    def _steps(self, fit: EncoderFit, name: str) -> Iterator[None]:
        """Runs a fit to its end, from its last checkpoint if there is one; once per step that is done."""
        kept = self.progress.read(name)
        if kept is not None:
            fit.restore(*kept)
            yield from (None for _ in range(fit.step))
        while fit.step < fit.steps:
            if not math.isfinite(fit.run_step()):
                raise ValueError(
                    f"tune_encoder: expected a finite loss, got none in step {fit.step} of {name!r}. "
                    "Train with 'off', or in Python with a smaller learning_rate."
                )
            if fit.step % self.config.tuning.save_every == 0 or fit.step == fit.steps:
                self.progress.write(name, *fit.state())
            yield

    def _fit(
        self,
        texts: TunedTexts,
        module: MatchModule,
        until: int,
        *,
        share: float,
        seed: int,
        prefers_recent: bool = False,
    ) -> EncoderFit:
        settings = self.config.tuning
        # Seeds of their own, so that no fit draws the steps of another.
        seed = 3 * self.config.seed + seed
        batches = self._batches(until, seed, prefers_recent=prefers_recent)
        steps = min(self.config.match.steps(batches.n_examples), settings.max_steps)
        return EncoderFit(
            module.to(texts.device),
            texts,
            self.data.unit,
            batches,
            steps=max(round(steps * share), 1),
            match=self.config.match,
            config=settings,
            seed=seed,
            is_first=not prefers_recent,
        )

    def _figures(self, fit: EncoderFit) -> HeldOutFigures:
        return self._part.figures(fit.module.eval(), fit.vectors())

    def _new_module(self) -> MatchModule:
        dim = self.data.unit.shape[1]
        config = self.config.match_config(2 * dim, similarity_dim=dim)
        return MatchModule(config, torch.Generator().manual_seed(self.config.seed))

    def _batches(self, until: int, seed: int, *, prefers_recent: bool = False) -> MatchBatches:
        dataset = self.data.dataset
        return MatchBatches(
            dataset.log_at(until),
            len(dataset.catalogue),
            until=until,
            memory=self.config.memory.of_events,
            config=self.config.match.batch,
            seed=seed,
            prefers_recent=prefers_recent,
            reads=dataset.reads,
            cancelled=dataset.cancelled,
            weights=self.data.weights,
            repeats=dataset.config.repeats,
        )


def held_out_from(data: TrainingData, share: float) -> int:
    """The time after which the last `share` of the events of the match module's first period lie."""
    times = np.sort(data.dataset.log.times)
    times = times[times <= data.split.ranker_from]
    if not len(times):
        return data.split.ranker_from
    place = min(int(len(times) * (1 - share)), len(times) - 1)
    # Strictly before the events of that time, so that a basket is not cut.
    return int(times[place]) - 1


def _has_peaked(checks: list[tuple[int, float]], patience: int) -> bool:
    figures = [figure for _, figure in checks]
    return len(figures) > patience and max(figures[-patience:]) <= max(figures[:-patience])
