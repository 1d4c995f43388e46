"""The folds of a rolling-origin check: where each begins and ends, and the run that measures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from feature_store import DataError, EventLog
from training.query_split import require_queries, split_of
from training.run import Run
from training.splits import fold_splits
from training.tables import Tables


def earlier_folds(run: Run) -> list[Run]:
    """The runs of all folds but the last, which is the run itself: in `folds/1`, ... of its folder.

    They read the same versions of the store. Raises DataError, before anything is learned, if the log has no room for
    them, or if a fold has too little to learn from or to measure on.
    """
    folds: list[Run] = []
    if run.config.folds == 1:
        return folds
    _require_windows(run)
    for number, split in enumerate(fold_splits(run.config.split, run.config.folds)[:-1], start=1):
        config = replace(run.config, split=split, folds=1)
        fold = Run(run.out / "folds" / str(number), run.store, Tables(), config, run.progress)
        # What this run has read, whatever an earlier one has left there.
        fold.intake = run.intake
        if not config.vectors_name:
            fold.encoder = run.encoder
        folds.append(fold)
    _require_queries([*folds, run])
    return folds


def _require_windows(run: Run) -> None:
    n_folds = run.config.folds
    if _windows_follow(run, n_folds):
        return
    most = max(n for n in range(1, n_folds) if _windows_follow(run, n))
    remedy = f"Give {most} folds" if most > 1 else "Train without folds"
    raise DataError(
        f"folds: expected a log with room for {n_folds} test windows, one after the other, got one whose timestamps "
        f"leave room for {most}. {remedy}, or a log with events at more times."
    )


def _windows_follow(run: Run, n_folds: int) -> bool:
    """Whether each of so many test windows begins where the one before ends: few timestamps may leave no such cuts."""
    dataset = run.training_data.dataset
    # As the runs read it for their splits.
    log = EventLog.from_frame(dataset.events, dataset.users, dataset.catalogue.ids, dataset.config.signals)
    splits = [split_of(log, dataset.impressions, config) for config in fold_splits(run.config.split, n_folds)]
    return all(before.test_until == after.test_from for before, after in pairwise(splits))


def _require_queries(folds: Sequence[Run]) -> None:
    for number, fold in enumerate(folds, start=1):
        training_data = fold.training_data
        try:
            require_queries(training_data.dataset, training_data.shown, training_data.split)
        except DataError as error:
            raise DataError(
                f"folds: expected a log that is long enough for {len(folds)}, got too little for fold {number} "
                f"({error}). Give fewer folds, or a longer log."
            ) from error
        if fold is not folds[-1]:
            # Read again when it is the fold's turn.
            fold.forget()
