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
from recmem.text.encoder import EncoderConfig
from training.api import QUIET_MLFLOW, require_tables_or_store
from training.configuration.effective import effective_config
from training.cross_fit.borders import Border
from training.cross_fit.chain import Fold
from training.cross_fit.fit import Fit, fit_folds
from training.cross_fit.row_features import check_rows
from training.cross_fit.windows import FoldConfig
from training.event_weights import weight_texts
from training.intake import Intake
from training.progress import Progress, Silent
from training.run import Run, open_run
from training.run_lock import only_training_in
from training.steps.ingest import append_given
from training.tables import Tables

if TYPE_CHECKING:
    from training.tables import TableInput


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
    encoder: str | os.PathLike[str] | None = None,
    pooling: str | None = None,
    max_tokens: int | None = None,
    text_prefix: str = EncoderConfig.text_prefix,
    folds: int = FoldConfig.folds,
    positive_from: float = 4.0,
    negative_to: float = 2.0,
    positive_events: Sequence[str] | None = None,
    negative_events: Sequence[str] | None = None,
    neutral_events: Sequence[str] | None = None,
    weight: Mapping[str, float] | None = None,
    seed: int = 0,
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
        progress: Shows the stages, such as `recmem.cli.console.Bars()`; nothing is shown by default.

    Raises:
        DataError: tables or rows cannot be used, a row has no timestamp, the log is too short, or another training runs
            in `out`.
        ValueError: a setting is out of range.
    """
    refuse_forked()
    check_rows(rows)
    run, fold_config = open_features_run(
        items,
        events,
        impressions=impressions,
        vectors=vectors,
        vectors_name=vectors_name,
        out=Path(out),
        store=store,
        encoder=encoder,
        pooling=pooling,
        max_tokens=max_tokens,
        text_prefix=text_prefix,
        folds=folds,
        positive_from=positive_from,
        negative_to=negative_to,
        positive_events=positive_events,
        negative_events=negative_events,
        neutral_events=neutral_events,
        weight=weight,
        seed=seed,
        progress=progress or Silent(),
    )
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


def open_features_run(
    items: TableInput | None,
    events: TableInput | None,
    *,
    impressions: TableInput | None,
    vectors: TableInput | None = None,
    vectors_name: str | None = None,
    out: Path,
    store: str | os.PathLike[str] | None,
    encoder: str | os.PathLike[str] | None,
    pooling: str | None,
    max_tokens: int | None,
    text_prefix: str,
    folds: int,
    positive_from: float,
    negative_to: float,
    positive_events: Sequence[str] | None,
    negative_events: Sequence[str] | None,
    neutral_events: Sequence[str] | None,
    weight: Mapping[str, float] | Sequence[str] | None = None,
    seed: int,
    progress: Progress,
    label: Callable[[str], str] = str,
) -> tuple[Run, FoldConfig]:
    """The run in a folder, and how its log is cut; the arguments, and what is raised, are `training_features`'s.

    `label` is what an error calls an argument.
    """
    refuse_forked()
    require_tables_or_store(items, events, store)
    fold_config = FoldConfig(folds=folds)
    options = {
        "vectors_name": vectors_name,
        "encoder": encoder,
        "pooling": pooling,
        "max_tokens": max_tokens,
        "text_prefix": text_prefix,
        "tune_encoder": "off",  # a tuned encoder has learned from the log that it would be cross-fitted on
        "positive_from": positive_from,
        "negative_to": negative_to,
        "positive_events": positive_events,
        "negative_events": negative_events,
        "neutral_events": neutral_events,
        "weight": weight_texts(weight),
        "seed": seed,
    }
    config = effective_config(options=options, label=label)
    for name, value in QUIET_MLFLOW.items():
        os.environ.setdefault(name, value)
    place = None if store is None else os.fspath(store)
    tables = Tables.of(items, events, impressions, vectors=vectors)
    return open_run(tables, out, place, config, progress), fold_config


def fit_in(run: Run, config: FoldConfig, *, on_intake: Callable[[Intake], None] = lambda _: None) -> Fit:
    """Adds the run's tables to its store, and fits the folds on the store as it is then.

    `on_intake` is called with what was read, before anything is learned from it.
    """
    with only_training_in(run.out):
        run.intake = append_given(run)
        on_intake(run.intake)
        return fit_folds(run, config)
