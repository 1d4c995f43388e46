"""`recmem.train`: a training run from Python, on files or on frames."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from feature_store import DataError, SignalConfig
from feature_store.forked_process import refuse_forked
from recmem.retrieval.interleave import RetrievalConfig
from recmem.serving.champions import REGISTERED_NAME
from recmem.text.encoder import EncoderConfig
from recmem.text.encoder_settings import encoder_config
from recmem.text.encoder_tuning import TuningKind
from training.config import TrainingConfig
from training.fitting.fit_encoder import EncoderTuningConfig
from training.progress import Progress, Silent

if TYPE_CHECKING:
    from training.run import TrainingResult
    from training.tables import TableInput

QUIET_MLFLOW = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
"""What the command line sets too; MLflow reads it when it is imported. A value that the caller has set is kept."""


def train(
    items: TableInput | None = None,
    events: TableInput | None = None,
    *,
    impressions: TableInput | None = None,
    out: str | os.PathLike[str],
    store: str | os.PathLike[str] | None = None,
    encoder: str | os.PathLike[str] | None = None,
    pooling: str | None = None,
    max_tokens: int | None = None,
    text_prefix: str = EncoderConfig.text_prefix,
    tune_encoder: str = "auto",
    candidates: int = 300,
    exclude_seen: bool = True,
    positive_from: float = 4.0,
    negative_to: float = 2.0,
    positive_events: Sequence[str] = (),
    negative_events: Sequence[str] = (),
    neutral_events: Sequence[str] = (),
    features: Sequence[str] = (),
    refit: bool = True,
    folds: int = 1,
    promote: str = "not-worse",
    registered_name: str = REGISTERED_NAME,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainingResult:
    """Trains on a log, measures what the text features add to the ranker, and registers the model in MLflow.

    What `recmem train` does, without printing. Steps whose input has not changed since an earlier run in `out` are not
    run again. The same tables and seed give the same ledger. Results are tracked in `out`, or at
    MLFLOW_TRACKING_URI. MLflow's telemetry is off unless MLFLOW_DISABLE_TELEMETRY is set otherwise.

    `receipts` of the result count the rows that were read, duplicates and rejected ones with the reasons; `intake` also
    has the rows whose items are unknown.

    >>> result = recmem.train(items, events, out="run")  # doctest: +SKIP
    >>> model = recmem.load(result.bundle)  # doctest: +SKIP

    Args:
        items: `item_id` and texts (title, description, ...): a path (Parquet, CSV, JSON lines, Arrow, Delta), or a
            polars, pandas or Arrow frame. None if `store` already has them.
        events: `user_id`, `item_id`, `timestamp`, and optionally `event`, `value`, `event_id`, `available_at`,
            `cancels`; given as `items` are.
        impressions: `impression_id`, `user_id`, `timestamp`, `item_id`, `label`: what was shown and whether it was
            clicked. Where there are any, they are the queries that are learned from and measured.
        out: Folder for `bundle/`, `report.html`, `ledger.json` and the steps' intermediate files.
        store: The store to add the tables to and to train on; `out`/store by default.
        encoder: A local folder or a Hugging Face id; all-MiniLM-L6-v2 by default, which needs no download.
        pooling: `mean`, `cls` or `last`, as the encoder was trained: by default what sentence-transformers has saved in
            its folder, else `mean`. docs/encoders.md lists what some encoders need.
        max_tokens: Texts are cut to this many tokens: by default 256, or fewer if the encoder was saved with fewer.
        text_prefix: Put before every text, such as `"query: "` for e5.
        tune_encoder: What of the encoder learns from the log, if that pays on a held-out part of it: `off`, `last` (its
            last layer, enough for a CPU), `full`, or adapters of the extra `peft` (`lora`, `adalora`, `ia3`, `prefix`).
            `auto` is `full` with a CUDA device, else `off`.
        candidates: Items that are retrieved and ranked per query.
        exclude_seen: Leave items that the user already has out of the ranking.
        positive_from: Ratings of at least this are positive.
        negative_to: Ratings of at most this are negative; those between are neutral.
        positive_events: Names of events that are positive, beside those of common names (view, click, purchase, ...).
            An event that no rule names is neutral, unless no event of the log would be positive then; `intake.kinds` of
            the result says how each is taken.
        negative_events: Names of events that are negative, beside the common ones (skip, return, refund, ...).
        neutral_events: Names of events that are neutral: remembered, but nothing to be ranked first.
        features: Columns of the impressions that become features of the ranker: numbers (raw, and as z-scores within
            the query), or text (categories). Candidates must bring them, see `recmem.Model.rank`.
        refit: Let the model that ships learn from the whole log once it is measured. `measured_bundle` of the result is
            the one that was measured.
        folds: Test periods, one after the other, that the same training is measured on; takes as many times as long.
        promote: When the new version takes the champion's place in MLflow's registry. The champion is scored anew on
            the same test queries. `not-worse`: unless it is significantly worse, overall or on a named slice; `better`:
            if it is significantly better, and worse on no slice; `always`; `never`. `verdict` of the result says what
            came of it.
        registered_name: The registered model that gets a new version.
        seed: Of every random draw.
        progress: Shows the stages of the run, such as `recmem.cli.console.Bars()`; nothing is shown by default.

    Raises:
        DataError: the tables cannot be used (all faults of all tables at once; nothing is written then), neither tables
            nor a store are given, or another training runs in `out`.
        ValueError: a setting is out of range.
    """
    refuse_forked()  # before the imports below, which may themselves wait for threads
    require_tables_or_store(items, events, store)
    config = training_config(
        encoder=None if encoder is None else os.fspath(encoder),
        pooling=pooling,
        max_tokens=max_tokens,
        text_prefix=text_prefix,
        tune_encoder=tune_encoder,
        candidates=candidates,
        exclude_seen=exclude_seen,
        positive_from=positive_from,
        negative_to=negative_to,
        positive_events=positive_events,
        negative_events=negative_events,
        neutral_events=neutral_events,
        features=features,
        refit=refit,
        folds=folds,
        promote=promote,
        registered_name=registered_name,
        seed=seed,
    )
    for name, value in QUIET_MLFLOW.items():
        os.environ.setdefault(name, value)
    from training.pipeline import run_training

    return run_training(
        items=items,
        events=events,
        impressions=impressions,
        out=Path(out),
        store=None if store is None else os.fspath(store),
        config=config,
        progress=progress or Silent(),
    )


def require_tables_or_store(items: object, events: object, store: object) -> None:
    """Raises DataError if there is nothing to learn from: neither both tables nor a store."""
    if store is None and (items is None or events is None):
        raise DataError(
            "items, events: expected both, or a store that holds them, got neither. Give the tables, or `store`."
        )


def training_config(
    *,
    encoder: str | None,
    candidates: int,
    exclude_seen: bool,
    positive_from: float,
    negative_to: float,
    seed: int,
    positive_events: Sequence[str] = (),
    negative_events: Sequence[str] = (),
    neutral_events: Sequence[str] = (),
    features: Sequence[str] = (),
    tune_encoder: str = "auto",
    refit: bool = True,
    folds: int = 1,
    promote: str = "not-worse",
    registered_name: str = REGISTERED_NAME,
    pooling: str | None = None,
    max_tokens: int | None = None,
    text_prefix: str = EncoderConfig.text_prefix,
) -> TrainingConfig:
    """The settings of a run, of which most keep their defaults.

    Raises ValueError if one is out of range, DataError if the encoder's folder must be read for its own settings and
    cannot be.
    """
    for name, number in (("candidates", candidates), ("folds", folds), ("seed", seed)):
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"{name}: expected a whole number, got {number!r}. Give an int.")
    for name, rating in (("positive_from", positive_from), ("negative_to", negative_to)):
        if isinstance(rating, bool) or not isinstance(rating, int | float):
            raise ValueError(f"{name}: expected a number, got {rating!r}. Give a rating.")
    if not (math.isfinite(positive_from) and math.isfinite(negative_to)):
        raise ValueError(
            f"positive_from, negative_to: expected finite numbers, got {positive_from} and {negative_to}. "
            "Give finite ratings."
        )
    choices = ("auto", "off", *get_args(TuningKind))
    if tune_encoder not in choices:
        raise ValueError(f"tune_encoder: expected one of {', '.join(choices)}, got {tune_encoder!r}. Try 'auto'.")
    return TrainingConfig(
        tuning=EncoderTuningConfig(kind=cast(Any, tune_encoder)),
        encoder=encoder_config(encoder, pooling=pooling, max_tokens=max_tokens, text_prefix=text_prefix),
        signals=SignalConfig(
            positive_from=positive_from,
            negative_to=negative_to,
            positive_events=_names("positive_events", positive_events),
            negative_events=_names("negative_events", negative_events),
            neutral_events=_names("neutral_events", neutral_events),
        ),
        retrieval=RetrievalConfig(candidates=candidates, exclude_seen=exclude_seen),
        features=_names("features", features, "columns"),
        refit=refit,
        folds=folds,
        promote=cast(Any, promote),
        registered_name=registered_name,
        seed=seed,
    )


def _names(argument: str, names: Sequence[str], of_what: str = "events") -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"{argument}: expected a list of names of {of_what}, got {names!r}. Give them as a list.")
    return tuple(names)
