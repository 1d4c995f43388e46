"""The folds of a rolling-origin check: where each begins and ends, and the run that measures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from feature_store import DataError
from feature_store.timestamps import iso_time
from training.query_split import require_queries
from training.run import Run
from training.splits import fold_splits
from training.tables import Tables


def earlier_folds(run: Run) -> list[Run]:
    """The runs of all folds but the last, which is the run itself: in `folds/1`, ... of its folder.

    They read the same versions of the store. Raises DataError, before anything is learned, if a fold has too little to
    learn from or to measure on.
    """
    folds: list[Run] = []
    if run.config.folds == 1:
        return folds
    for number, split in enumerate(fold_splits(run.config.split, run.config.folds)[:-1], start=1):
        config = replace(run.config, split=split, folds=1)
        fold = Run(run.out / "folds" / str(number), run.store, Tables(), config, run.progress)
        # What this run has read, whatever an earlier one has left there.
        fold.intake = run.intake
        fold.encoder = run.encoder
        folds.append(fold)
    runs = [*folds, run]
    _require_queries(runs)
    return folds


def _require_queries(folds: Sequence[Run]) -> None:
    end_of_last: int | None = None
    for number, fold in enumerate(folds, start=1):
        training_data = fold.training_data
        try:
            require_queries(training_data.dataset, training_data.shown, training_data.split)
        except DataError as error:
            raise DataError(
                f"folds: expected a log that is long enough for {len(folds)}, got too little for fold {number} "
                f"({error}). Give fewer folds, or a longer log."
            ) from error
        split = training_data.split
        if end_of_last is not None and end_of_last != split.test_from:
            raise DataError(
                f"folds: expected {len(folds)} test windows, one after the other, got one that begins at "
                f"{iso_time(split.test_from)}, where the one before ends at {iso_time(end_of_last)}: too few distinct "
                "times. Give fewer folds, or a log with events at more times."
            )
        end_of_last = split.test_until
        if fold is not folds[-1]:
            # Read again when it is the fold's turn.
            fold.forget()
