"""What a search leaves: the best configuration, a table of the trials, and the same in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from feature_store import DataError
from feature_store.atomic_files import write_text_atomically
from training.intake import Intake
from training.run import Run
from training.settings_search.best_config import BEST, best_toml, changed_settings
from training.settings_search.gain import Gain, gain_of
from training.settings_search.result_text import gain_sentences
from training.settings_search.study import BASE, DATABASE, Study, Trial
from training.tracking.step_run import StepRun

TRIALS = "trials.parquet"


@dataclass(frozen=True)
class TuningResult:
    """The outcome of a search, and where its files are."""

    out: Path
    """The search's folder."""
    config: Path
    """`best.toml`, for `recmem train --config` or `recmem.train(config=...)`."""
    table: Path
    """`trials.parquet`: a row per trial."""
    trials: tuple[Trial, ...]
    """All trials in their order, those of earlier calls included."""
    base: Trial
    """The first: the configuration that the search was begun with."""
    best: Trial
    """The one with the highest figure; `base` if none is better."""
    changed: dict[str, tuple[float, float]]
    """What the best trial changes: the base configuration's value and its own, by setting."""
    gain: Gain
    """The best trial's NDCG@10 on the validation queries minus the base configuration's."""
    importances: dict[str, float]
    """Share of the figures' variation that each setting accounts for, largest first; empty for few trials."""
    interrupted: bool
    """Whether Ctrl-C ended it."""
    not_searched: tuple[str, ...]
    """Settings that stayed as they were, because the base configuration's value, 0, is on no logarithmic scale."""
    intake: Intake
    """What was read of the tables."""


def write_result(
    run: Run, study: Study, folder: Path, *, interrupted: bool, not_searched: tuple[str, ...]
) -> TuningResult:
    """Writes `best.toml` and `trials.parquet` into the run's folder; `folder` has the trials' figures."""
    trials = study.trials()
    completed = study.completed()
    base = next(trial for trial in completed if trial.group == BASE)
    best = study.best() or base
    figures = {trial.number: _read_figures(folder, trial.number) for trial in completed}
    gain = gain_of(figures, base=base.number, best=best.number, seed=run.config.seed)
    settings = changed_settings(run.config, best.settings)
    comment = "\n".join(gain_sentences(base, best, len(completed), gain))
    write_text_atomically(run.out / BEST, best_toml(run.config, settings, comment))
    trials_frame(trials).write_parquet(run.out / TRIALS)
    return TuningResult(
        out=run.out,
        config=run.out / BEST,
        table=run.out / TRIALS,
        trials=tuple(trials),
        base=base,
        best=best,
        changed={name: (base.settings[name], value) for name, value in settings.items()},
        gain=gain,
        importances=study.importances(),
        interrupted=interrupted,
        not_searched=not_searched,
        intake=run.intake,
    )


def log_result(result: TuningResult, parent: StepRun, metric: str) -> None:
    """Logs the best figure, the base configuration's and both files to the parent run."""
    gain = result.gain
    figures = {metric: result.best.value, f"{metric}_base": result.base.value, "trials": len(result.trials)}
    figures |= {"gain/ndcg_at_10": gain.best.difference, "gain_low/ndcg_at_10": gain.best.low}
    figures |= {"gain_high/ndcg_at_10": gain.best.high}
    parent.log_metrics({name: float(value) for name, value in figures.items() if value is not None})
    for path in (result.config, result.table):
        parent.log_artifact(path)


def trials_frame(trials: Sequence[Trial]) -> pl.DataFrame:
    """A row per trial: number, group, figure, what would ship, seconds, why it failed, and every searched setting."""
    names = sorted({name for trial in trials for name in trial.settings})
    rows = [
        {
            "trial": trial.number,
            "group": trial.group,
            "ndcg_at_10": trial.value,
            "ships": trial.ships,
            "seconds": trial.seconds,
            "cause": trial.cause,
        }
        | {name: trial.settings.get(name) for name in names}
        for trial in trials
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def write_figures(figures: pl.DataFrame, folder: Path, number: int) -> None:
    """Keeps a trial's figures, from which its gain is computed."""
    path = _figures_path(folder, number)
    path.parent.mkdir(exist_ok=True)
    figures.write_parquet(path)


def _read_figures(folder: Path, number: int) -> pl.DataFrame:
    path = _figures_path(folder, number)
    if not path.is_file():
        raise DataError(
            f"out: expected the figures of trial {number} in {path}, got no file. "
            f"Remove {DATABASE} beside `work` to begin anew."
        )
    return pl.read_parquet(path)


def _figures_path(folder: Path, number: int) -> Path:
    return folder / "trials" / f"{number}.parquet"
