"""`recmem.training_features`: match features of past rows for a ranker of one's own, and the model that serves them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic

from feature_store.forked_process import refuse_forked
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.serving.frames import FrameT
from training.api import QUIET_MLFLOW, require_tables_or_store
from training.configuration.effective import effective_config
from training.cross_fit.borders import Border
from training.cross_fit.chain import Fold
from training.cross_fit.fit import Fit, fit_folds
from training.cross_fit.row_features import check_rows
from training.cross_fit.windows import FoldConfig
from training.event_weights import weight_texts
from training.intake import Intake
from training.progress import Progress, shown_progress
from training.run import Run, open_run
from training.run_lock import only_training_in
from training.steps.ingest import append_given
from training.tables import Tables

if TYPE_CHECKING:
    from training.configuration.effective import ConfigInput
    from training.tables import TableInput

FIXED_OPTIONS = {"tune_encoder": "off", "features": (), "position_debiasing": False}
"""A tuned encoder has learned from the log that it would be cross-fitted on; the others are of a ranker alone."""


@dataclass(frozen=True, eq=False)
class TrainingFeatures(Generic[FrameT]):
    """Rows with match features, and the model that gives the same features for new rows."""

    frame: FrameT
    """The caller's rows, in their order, with `match_score`, `match_raw`, `match_prior` and `similarity_*`."""
    n_without: int
    """Rows from before the first fold: `match_*` are null, since no module had learned and been calibrated by then."""
    unmatched: UnmatchedRows
    """Rows of unknown users and items, and the like."""
    bundle: Path
    """For `recmem.load`: its `match` gives new rows the features of the newest fold."""
    folds: tuple[Fold, ...]
    """In order of time; the newest serves."""
    borders: tuple[Border, ...]
    """How the folds meet: mean calibrated scores of the same pairs on both sides of each border."""
    intake: Intake
    """What was read of the tables, and what of the store was used."""
    reused: bool
    """Whether an earlier call in `out` had fitted the same folds."""
    warnings: tuple[str, ...] = ()
    """What was used but looks wrong: a sentence or two each."""


def training_features(
    rows: FrameT,
    items: TableInput | None = None,
    events: TableInput | None = None,
    *,
    impressions: TableInput | None = None,
    vectors: TableInput | None = None,
    vectors_name: str | None = None,
    out: str | os.PathLike[str],
    store: str | os.PathLike[str] | None = None,
    config: ConfigInput | None = None,
    encoder: str | os.PathLike[str] | None = None,
    pooling: str | None = None,
    max_tokens: int | None = None,
    text_prefix: str | None = None,
    folds: int = FoldConfig.folds,
    positive_from: float | None = None,
    negative_to: float | None = None,
    positive_events: Sequence[str] | None = None,
    negative_events: Sequence[str] | None = None,
    neutral_events: Sequence[str] | None = None,
    weight: Mapping[str, float] | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> TrainingFeatures[FrameT]:
    """Match features of past rows for a ranker of your own, each from a module that has not seen that row.

    The log is cut in time. One match module after the other learns from what lies before a cut, and scores the rows up
    to the next. So a row's features know nothing of the row or of anything after it, as those of new rows in serving:
    those come from the model in `bundle` of the result, which has learned from the whole log. All are on one scale.

    Folds that an earlier call in `out` has fitted on the same log are used again, with any rows.

    >>> found = recmem.training_features(rows, items, events, out="run")  # doctest: +SKIP
    >>> own_ranker.fit(found.frame)  # doctest: +SKIP
    >>> new = recmem.load(found.bundle).match(candidates)  # doctest: +SKIP

    Args:
        rows: A polars or pandas frame, or an Arrow table, with `user_id`, `item_id` and `timestamp`, and any further
            columns. `history`, and texts of items that the store lacks, are read as `Model.match` reads them.
        items: `item_id` and texts, as for `recmem.train`. None if `store` already has them.
        events: `user_id`, `item_id`, `timestamp`, as for `recmem.train`.
        impressions: What was shown and clicked, as for `recmem.train`: then the scores are calibrated on these.
        vectors: Vectors of the items in place of a text encoder, as for `recmem.train`, and so is `vectors_name`.
        vectors_name: Names the model that made them.
        out: Folder for `match_bundle/`, `match_folds/` and, by default, `store/`. It may be that of `recmem.train`.
        store: The store to add the tables to and to learn from; `out`/store by default.
        config: Settings, as for `recmem.train`: a `recmem.toml`, also that of a training, or a dict. The arguments
            below take precedence. What a training alone needs is not read: its test folds, features and promotion.
        encoder: As for `recmem.train`, and so are `pooling`, `max_tokens` and `text_prefix`. It is not tuned.
        pooling: How the encoder pools tokens.
        max_tokens: Texts are cut to this many tokens.
        text_prefix: Put before every text.
        folds: Windows whose rows get features. The first begins after half of the log with 5 folds; a log of few
            distinct times has fewer.
        positive_from: Ratings of at least this are positive.
        negative_to: Ratings of at most this are negative; those between are neutral.
        positive_events: Names of events that are positive, as for `recmem.train`, and so are `negative_events` and
            `neutral_events`.
        negative_events: Names of events that are negative.
        neutral_events: Names of events that are neutral.
        weight: How much events of a name count as training targets, as for `recmem.train`.
        seed: Of every random draw.
        progress: As for `recmem.train`: shown by default where a person watches.

    Raises:
        DataError: tables or rows cannot be used, a row has no timestamp, the log is too short, or another training runs
            in `out`.
        ValueError: settings are unknown or out of range; all faults at once.
    """
    refuse_forked()
    check_rows(rows)
    require_tables_or_store(items, events, store)
    fold_config = FoldConfig(folds=folds)
    options = {
        "encoder": encoder,
        "pooling": pooling,
        "max_tokens": max_tokens,
        "text_prefix": text_prefix,
        "vectors_name": vectors_name,
        "positive_from": positive_from,
        "negative_to": negative_to,
        "positive_events": positive_events,
        "negative_events": negative_events,
        "neutral_events": neutral_events,
        "weight": weight_texts(weight),
        "seed": seed,
    }
    effective = effective_config(config, options=options | FIXED_OPTIONS)
    for name, value in QUIET_MLFLOW.items():
        os.environ.setdefault(name, value)
    tables = Tables.of(items, events, impressions, vectors=vectors)
    place = None if store is None else os.fspath(store)
    run = open_run(tables, Path(out), place, effective, shown_progress(progress))
    fit = fit_in(run, fold_config)
    frame, features = fit.fitted.added_to(rows)
    return TrainingFeatures(
        frame=frame,
        n_without=features.n_without,
        unmatched=features.unmatched,
        bundle=fit.bundle,
        folds=fit.fitted.folds,
        borders=fit.borders,
        intake=run.intake,
        reused=fit.reused,
        warnings=fit.warnings,
    )


def fit_in(run: Run, config: FoldConfig, *, on_intake: Callable[[Intake], None] = lambda _: None) -> Fit:
    """Adds the run's tables to its store, and fits the folds on the store as it is then.

    `on_intake` is called with what was read, before anything is learned from it.
    """
    with only_training_in(run.out):
        run.intake = append_given(run)
        on_intake(run.intake)
        return fit_folds(run, config)
