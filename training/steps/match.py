"""The step `match`: fits the members of the match module, each twice, the second time on all up to the test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from recmem.matching.match_module import MatchModule
from recmem.pipelining import beside
from training.fitting.beside_events import beside_events
from training.fitting.fit_match import fit_match
from training.fitting.impression_batches import ImpressionBatches
from training.fitting.match_batches import MatchBatches
from training.member_seeds import member_seed
from training.run import ModuleName, Run, member_file
from training.tracking.step_run import StepRun
from training.training_data import TrainingData

LOSS_CURVES = "curve.json"
CURVE_POINTS = 60
"""A loss curve has this many points, or some more: the means of consecutive steps."""


@dataclass(frozen=True)
class MatchFit:
    """One of the fits of the match module's members."""

    name: str
    until: int
    """Nothing after this time is learned from, microseconds."""
    share: float
    """Steps, as a share of those that a log of this size is given."""
    seed_offset: int
    """Added to each member's seed, so that a later fit does not draw an earlier one's steps again."""
    prefers_recent: bool
    vectors: ModuleName
    """Which vectors of the texts it reads, see `Run.vectors`."""


@dataclass(frozen=True, eq=False)
class FittedMembers:
    """The members of a match module after a fit."""

    modules: tuple[MatchModule, ...]
    losses: list[float]
    """Of each step, on average over the members."""


def match(run: Run, step_run: StepRun) -> None:
    """Fits the members on all before the ranker's windows (`base`), then on all before the test (`final`).

    `base` has not seen the ranker's windows, so its scores there are out of sample: the ranker is fitted on those.
    `final` goes on from `base` and has learned from the windows too, above all from their end; it is the one that is
    evaluated and served. What scores is the mean of the members, see `Run.module`: they differ in their seeds, which
    decide on initial weights, dropout and the drawn queries and candidates.
    """
    folder = run.folder("match")
    _remove_members(folder)
    modules = [_new_module(run, member) for member in range(run.config.members)]
    curves = {}
    # A module is fitted in one thread, whatever the number of cores: another one gets ready what the next steps read.
    with beside(_item_item_models(run.training_data)):
        for fit in _fits(run):
            fitted = _fit_members(run, modules, fit)
            for member, module in enumerate(fitted.modules):
                # Not `save_file`, which gives a file to its owner alone, whatever the umask.
                (folder / member_file(fit.name, member)).write_bytes(save(module.state_dict()))
            curves[fit.name] = _means_of_runs(fitted.losses)
            step_run.log_curve(f"match_loss/{fit.name}", curves[fit.name])
    (folder / LOSS_CURVES).write_text(json.dumps(curves))


def base_members(run: Run) -> FittedMembers:
    """The members as the step's `base`, fitted on all before the ranker's windows; nothing is written."""
    modules = [_new_module(run, member) for member in range(run.config.members)]
    return _fit_members(run, modules, next(_fits(run)))


def continue_members(run: Run, from_name: ModuleName, *, name: str, until: int, seed_offset: int) -> FittedMembers:
    """Carries the members that the step `match` left on to a later time, as `final` goes on from `base`.

    `name` is shown as progress. `seed_offset` is added to each member's seed: at least 2, since the step's own fits use
    0 and 1. Nothing is written; `mean_module` makes one module of the result.
    """
    share = run.config.match.continued
    fit = MatchFit(name, until, share=share, seed_offset=seed_offset, prefers_recent=True, vectors=from_name)
    return _fit_members(run, run.members(from_name), fit)


def read_loss_curves(folder: Path) -> dict[str, list[float]]:
    """The losses of both fits, as the step left them in its folder."""
    curves: dict[str, list[float]] = json.loads((folder / LOSS_CURVES).read_text())
    return curves


def _fits(run: Run) -> Iterator[MatchFit]:
    split = run.training_data.split
    continued = run.config.match.continued
    yield MatchFit("base", split.ranker_from, share=1.0, seed_offset=0, prefers_recent=False, vectors="base")
    yield MatchFit("final", split.test_from, share=continued, seed_offset=1, prefers_recent=True, vectors="final")


def _item_item_models(data: TrainingData) -> list[Callable[[], object]]:
    """Each fits the models of one refresh, unless they are fitted: those that the windows and the test read, and, where
    they are cached, the current ones, which the report reads from there.
    """
    dataset = data.dataset
    times = dataset.log.times
    read = times[(times > data.split.ranker_from) & (times <= data.split.test_until)]
    if dataset.timeline.cache is not None:
        read = np.append(read, dataset.clock)
    periods = dataset.timeline.periods_of(read)
    return [partial(dataset.timeline.at, period) for period in periods]


def _remove_members(folder: Path) -> None:
    """Those of an earlier run, which may have had more of them."""
    for path in folder.glob("*.safetensors"):
        path.unlink()


def _new_module(run: Run, member: int) -> MatchModule:
    generator = torch.Generator().manual_seed(member_seed(run.config.seed, member))
    return MatchModule(run.match_config, generator)


def _fit_members(run: Run, modules: Sequence[MatchModule], fit: MatchFit) -> FittedMembers:
    """Trains the modules in place, one after the other."""
    curves = [_fit(run, module, fit, member) for member, module in enumerate(modules)]
    losses = [sum(steps) / len(steps) for steps in zip(*curves, strict=True)]
    return FittedMembers(tuple(modules), losses)


def _fit(run: Run, module: MatchModule, fit: MatchFit, member: int) -> list[float]:
    """Trains a member in place; the loss of each step."""
    config = run.config
    seed = member_seed(config.seed, member) + fit.seed_offset
    dataset = run.training_data.dataset
    batches = MatchBatches(
        dataset.log_at(fit.until),
        len(dataset.catalogue),
        until=fit.until,
        memory=config.memory,
        config=config.match.batch,
        seed=seed,
        prefers_recent=fit.prefers_recent,
        reads=dataset.reads,
        cancelled=dataset.cancelled,
        weights=run.training_data.weights,
        repeats=dataset.config.repeats,
        beside=beside_events(dataset, run.training_data.unit, config.memory, seed=seed),
    )
    n_steps = 0  # without examples the module keeps its initial weights, which score by text similarity
    if batches.n_examples:
        n_steps = max(round(config.match.steps(batches.n_examples) * fit.share), 1)
    losses: list[float] = []
    with run.progress.stage(_progress_name(fit.name, member, config.members), n_steps) as advance:

        def on_step(_: int, loss: float) -> None:
            losses.append(loss)
            advance(1)

        fit_match(
            module,
            run.vectors(fit.vectors),
            batches,
            steps=n_steps,
            config=config.match,
            generator=torch.Generator().manual_seed(seed),
            impressions=_impressions(run, fit.until, seed),
            on_step=on_step,
        )
    return losses


def _impressions(run: Run, until: int, seed: int) -> ImpressionBatches | None:
    """The impressions up to a time, to learn from; None if there are none, or if they are not to be learned from.

    Where positions are debiased they are not: the module knows nothing of positions, and would learn what they add.
    """
    config = run.config
    training_data = run.training_data
    is_wanted = config.match.impressions > 0 and not config.ranker.position_debiasing
    if training_data.shown is None or not is_wanted:
        return None
    batches = ImpressionBatches(
        training_data.shown,
        training_data.dataset.reads,
        until=until,
        memory=config.memory,
        queries=config.match.impression_queries,
        seed=seed,
        beside=beside_events(training_data.dataset, training_data.unit, config.memory, seed=seed),
    )
    return batches if batches.n_examples else None


def _progress_name(fit: str, member: int, n_members: int) -> str:
    part = "" if n_members == 1 else f", {member + 1} of {n_members}"
    return f"Fitting the match module ({fit}{part})"


def _means_of_runs(losses: list[float]) -> list[float]:
    """Means over consecutive runs of steps, `CURVE_POINTS` of them or some more; a shorter curve stays as it is."""
    width = max(len(losses) // CURVE_POINTS, 1)
    runs = [losses[start : start + width] for start in range(0, len(losses), width)]
    return [sum(run) / len(run) for run in runs]
