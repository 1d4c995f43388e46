"""The step `match`: fits the match module twice, the second time on all up to the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from recmem.matching.match_module import MatchModule
from training.fitting.fit_match import fit_match
from training.fitting.match_batches import MatchBatches
from training.run import ModuleName, Run
from training.tracking.step_run import StepRun

LOSS_CURVES = "curve.json"
CURVE_POINTS = 60
"""A loss curve has this many points, or some more: the means of consecutive steps."""


@dataclass(frozen=True)
class MatchFit:
    """One of the two fits of the match module."""

    name: ModuleName
    until: int
    """Nothing after this time is learned from, microseconds."""
    share: float
    """Steps, as a share of those that a log of this size is given."""
    seed: int
    prefers_recent: bool


def match(run: Run, step_run: StepRun) -> None:
    """Fits the match module on all before the ranker's windows (`base`), then on all before the test (`final`).

    `base` has not seen the ranker's windows, so its scores there are out of sample: the ranker is fitted on those.
    `final` goes on from `base` and has learned from the windows too, above all from their end; it is the one that is
    evaluated and served.
    """
    generator = torch.Generator().manual_seed(run.config.seed)
    module = MatchModule(run.match_config, generator)
    folder = run.folder("match")
    curves = {}
    for fit in _fits(run):
        losses = _fit(run, module, fit)
        # Not `save_file`, which gives a file to its owner alone, whatever the umask.
        (folder / f"{fit.name}.safetensors").write_bytes(save(module.state_dict()))
        curves[fit.name] = _means_of_runs(losses)
        step_run.log_curve(f"match_loss_{fit.name}", curves[fit.name])
    (folder / LOSS_CURVES).write_text(json.dumps(curves))


def read_loss_curves(folder: Path) -> dict[str, list[float]]:
    """The losses of both fits, as the step left them in its folder."""
    curves: dict[str, list[float]] = json.loads((folder / LOSS_CURVES).read_text())
    return curves


def _fits(run: Run) -> Iterator[MatchFit]:
    config = run.config
    split = run.training_data.split
    yield MatchFit("base", split.ranker_from, share=1.0, seed=config.seed, prefers_recent=False)
    # A seed of its own, so that the second fit does not draw the first one's steps again.
    yield MatchFit("final", split.test_from, share=config.match.continued, seed=config.seed + 1, prefers_recent=True)


def _fit(run: Run, module: MatchModule, fit: MatchFit) -> list[float]:
    """Trains the module in place; the loss of each step."""
    config = run.config
    dataset = run.training_data.dataset
    batches = MatchBatches(
        dataset.log_at(fit.until),
        len(dataset.catalogue),
        until=fit.until,
        memory=config.memory,
        config=config.match.batch,
        seed=fit.seed,
        prefers_recent=fit.prefers_recent,
        reads=dataset.reads,
        cancelled=dataset.cancelled,
    )
    n_steps = 0  # without examples the module keeps its initial weights, which score by text similarity
    if batches.n_examples:
        n_steps = max(round(config.match.steps(batches.n_examples) * fit.share), 1)
    losses: list[float] = []
    with run.progress.stage(f"Fitting the match module ({fit.name})", n_steps) as advance:

        def on_step(_: int, loss: float) -> None:
            losses.append(loss)
            advance(1)

        fit_match(
            module,
            run.vectors(fit.name),
            batches,
            steps=n_steps,
            config=config.match,
            generator=torch.Generator().manual_seed(fit.seed),
            on_step=on_step,
        )
    return losses


def _means_of_runs(losses: list[float]) -> list[float]:
    """Means over consecutive runs of steps, `CURVE_POINTS` of them or some more; a shorter curve stays as it is."""
    width = max(len(losses) // CURVE_POINTS, 1)
    runs = [losses[start : start + width] for start in range(0, len(losses), width)]
    return [sum(run) / len(run) for run in runs]
