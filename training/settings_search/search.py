"""A search for better settings: trials until the time is up, then the best configuration as a file.

    ingest -> encode -> tune (the encoder) -> trials

The first three are the steps of a training, and reuse what one has left in the same folder. Nothing is registered, and
no step that reads the test period is run.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store import DataError
from feature_store.forked_process import refuse_forked
from training.config import TrainingConfig
from training.configuration.effective import with_values
from training.intake import Intake
from training.parent_run import log_config
from training.pipeline import run_step
from training.progress import Progress
from training.run import Run, open_run
from training.run_lock import only_training_in
from training.settings_search.identity import identity_of, require_same
from training.settings_search.search_space import (
    GROUPS,
    SEARCH_SPACE,
    Dimension,
    space_of,
    values_of,
)
from training.settings_search.study import BASE, Proposal, Study, Trial, require_optuna
from training.settings_search.time_budget import TimeBudget
from training.settings_search.tuning_result import TuningResult, log_result, write_figures, write_result
from training.settings_search.validation import ValidationQueries
from training.tables import Tables
from training.tracking.tracker import Tracker

if TYPE_CHECKING:
    from training.tables import TableInput

PREPARING_STEPS = ("ingest", "encode", "tune")
METRIC = "ndcg_at_10/validation"
"""The figure of a trial in MLflow."""
_FOLDER = "tuning"


@dataclass(frozen=True)
class EndedTrial:
    """A trial as it has just ended, for whoever shows the progress."""

    trial: Trial
    best: Trial | None
    """The best trial so far, this one included."""
    queries: int
    """Validation queries; 0 if the trial failed."""
    left_s: float
    """Seconds that are left."""


def run_search(
    *,
    items: TableInput | None,
    events: TableInput | None,
    impressions: TableInput | None,
    users: TableInput | None = None,
    facts: TableInput | None = None,
    vectors: TableInput | None = None,
    out: Path,
    store: str | None,
    config: TrainingConfig,
    minutes: float,
    trials: int | None,
    groups: Sequence[str],
    progress: Progress,
    on_intake: Callable[[Intake], None] = lambda _: None,
    on_trial: Callable[[EndedTrial], None] = lambda _: None,
) -> TuningResult:
    """Searches from the base configuration `config`, or goes on with the search in `out`, and writes what it found.

    `trials` is the most that there are in the end, those of earlier calls included; None for no limit.

    Raises DataError if the tables cannot be used, if the folder's search is of other data or settings, or if another
    training runs in it; MissingOptunaError without Optuna. Ctrl-C ends the search as the end of the time does, once the
    base configuration is measured.
    """
    refuse_forked()
    require_optuna()
    check_limits(minutes, trials, groups)
    budget = TimeBudget(minutes)
    run = open_run(Tables.of(items, events, impressions, users, vectors, facts), out, store, config, progress)
    dimensions = space_of(config)
    base = values_of(config, dimensions)
    folder = run.out / "work" / _FOLDER
    with only_training_in(run.out), Study.opened(run.out, dimensions, base, groups, config.seed) as study:
        identity = identity_of(run)
        require_same(run, study.identity, identity, store=run.store.digest())
        if not study.identity:
            # Of a search whose trials were removed.
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        with Tracker.start(out=run.out, run_name="tune") as tracker:
            log_config(run, tracker, kind="tune")
            run_step(run, "ingest", tracker)
            require_same(run, study.identity, identity, store=run.intake.digest)
            study.set_identity(identity | {"store": run.intake.digest})
            on_intake(run.intake)
            for step in PREPARING_STEPS[1:]:
                run_step(run, step, tracker)
            search = _Search(run, study, dimensions, groups, folder, tracker, budget)
            interrupted = search.until(trials, on_trial)
            result = write_result(
                run, study, folder, interrupted=interrupted, not_searched=_not_searched(dimensions, groups)
            )
            log_result(result, tracker.parent, METRIC)
            return result


def check_limits(minutes: float, trials: int | None, groups: Sequence[str]) -> None:
    """Raises ValueError unless there is time and something to search."""
    if not minutes > 0:
        raise ValueError(f"minutes: expected more than 0, got {minutes:g}. Give 30, say.")
    if trials is not None and trials < 1:
        raise ValueError(f"trials: expected at least 1, got {trials}. Leave it out to search until the time is up.")
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        got = ", ".join(map(repr, unknown)) or "none"
        raise ValueError(f"search: expected {' or '.join(GROUPS)}, or both, got {got}. Leave it out for both.")


def _not_searched(dimensions: Sequence[Dimension], groups: Sequence[str]) -> tuple[str, ...]:
    searched = {each.setting for each in dimensions}
    return tuple(each.setting for each in SEARCH_SPACE if each.group in groups and each.setting not in searched)


@dataclass
class _Search:
    """The trials of one call."""

    run: Run
    study: Study
    dimensions: Sequence[Dimension]
    groups: Sequence[str]
    folder: Path
    tracker: Tracker
    budget: TimeBudget

    def __post_init__(self) -> None:
        self._queries = ValidationQueries(self.run, self.folder, self.dimensions)

    def until(self, most: int | None, on_trial: Callable[[EndedTrial], None]) -> bool:
        """Runs trials until there are `most`, or none fits into the time; whether the user has interrupted it."""
        try:
            while most is None or len(self.study.trials()) < most:
                group = self._group()
                if group is None:
                    break
                trial, n_queries = self._trial(self.study.propose(group))
                best = self.study.best()
                on_trial(EndedTrial(trial, best, n_queries, self.budget.left_s()))
        except KeyboardInterrupt:
            if not self.study.completed():
                raise
            return True
        return False

    def _group(self) -> str | None:
        """What the next trial changes; None if no trial fits into the time that is left."""
        wanted = self.study.next_group()
        others = [] if wanted == BASE else sorted(set(self.groups) - {wanted})
        completed = self.study.completed()
        has_pairs = self._queries.has_pairs(self._best_config())
        fitting = (g for g in (wanted, *others) if self.budget.fits(g, completed, has_pairs=has_pairs))
        return next(fitting, None)

    def _best_config(self) -> TrainingConfig:
        best = self.study.best()
        return self.run.config if best is None else with_values(self.run.config, best.settings)

    def _trial(self, proposal: Proposal) -> tuple[Trial, int]:
        """The trial when it has ended, and how many queries it ranked."""
        begin = time.perf_counter()
        try:
            with self.tracker.child(f"trial {proposal.number}") as child:
                child.log_params({"group": proposal.group} | proposal.settings)
                measured = self._queries.measure(with_values(self.run.config, proposal.settings))
                seconds = time.perf_counter() - begin
                child.log_metrics({METRIC: measured.value, "seconds": seconds})
        except (DataError, ValueError) as error:
            if proposal.group == BASE:
                self.study.abandon(proposal)
                raise
            cause = str(error).partition("\n")[0]
            return self.study.refuse(proposal, cause, seconds=time.perf_counter() - begin), 0
        except BaseException:
            self.study.abandon(proposal)
            raise
        write_figures(measured.figures, self.folder, proposal.number)
        trial = self.study.complete(
            proposal, measured.value, ships=measured.ships, seconds=seconds, ranking_s=measured.ranking_s
        )
        self._queries.keep(self._best_config())
        return trial, len(measured.figures)
