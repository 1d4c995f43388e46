"""`recmem.train`: a training run from Python, on files or on frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store import DataError
from feature_store.forked_process import refuse_forked
from training.configuration.effective import effective_config
from training.event_weights import weight_texts
from training.progress import Progress, shown_progress

if TYPE_CHECKING:
    from training.configuration.effective import ConfigInput
    from training.run import TrainingResult
    from training.tables import TableInput

QUIET_MLFLOW = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
"""What the command line sets too; MLflow reads it when it is imported. A value that the caller has set is kept."""


def train(
    items: TableInput | None = None,
    events: TableInput | None = None,
    *,
    impressions: TableInput | None = None,
    vectors: TableInput | None = None,
    vectors_name: str | None = None,
    users: TableInput | None = None,
    facts: TableInput | None = None,
    out: str | os.PathLike[str],
    store: str | os.PathLike[str] | None = None,
    config: ConfigInput | None = None,
    encoder: str | os.PathLike[str] | None = None,
    pooling: str | None = None,
    max_tokens: int | None = None,
    text_prefix: str | None = None,
    tune_encoder: str | None = None,
    candidates: int | None = None,
    exclude_seen: bool | None = None,
    positive_from: float | None = None,
    negative_to: float | None = None,
    positive_events: Sequence[str] | None = None,
    negative_events: Sequence[str] | None = None,
    neutral_events: Sequence[str] | None = None,
    weight: Mapping[str, float] | None = None,
    features: Sequence[str] | None = None,
    fact_columns: Sequence[str] | None = None,
    position_debiasing: bool | None = None,
    refit: bool | None = None,
    folds: int | None = None,
    ablate: bool | None = None,
    promote: str | None = None,
    registered_name: str | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Trains on a log, measures what the text features add to the ranker, and registers the model in MLflow.

    What `recmem train` does, without printing results. Steps whose input has not changed since an earlier run in `out`
    are not run again. The same tables and seed give the same ledger. Results are tracked in `out`, or at
    MLFLOW_TRACKING_URI. MLflow's telemetry is off unless MLFLOW_DISABLE_TELEMETRY is set otherwise.

    `receipts` of the result count the rows that were read, duplicates and rejected ones with the reasons; `intake` also
    has the rows whose items are unknown.

    >>> result = recmem.train(items, events, out="run")  # doctest: +SKIP
    >>> model = recmem.load(result.bundle)  # doctest: +SKIP

    Args:
        items: `item_id` and texts (title, description, ...): a path (Parquet, CSV, JSON lines, Arrow, Delta), or a
            polars, pandas or Arrow frame. With a `timestamp`, each row is a change, and numbers are read as of the
            query's time. None if `store` already has them.
        events: `user_id`, `item_id`, `timestamp`, and optionally `event`, `value`, `event_id`, `available_at`,
            `cancels`, `weight`; given as `items` are.
        impressions: `impression_id`, `user_id`, `timestamp`, `item_id`, `label`, and optionally `position` and
            `weight`: what was shown and whether it was clicked. Where there are any, they are the queries that are
            learned from and measured.
        vectors: Vectors of your own in place of a text encoder, which is not loaded then: a Parquet or Arrow file, or a
            frame, with `item_id` and `vector`, lists of numbers of one length. Items need no text then.
        vectors_name: Names the model that made them, such as "clip-v1"; by default that of the store's vectors or, in a
            store without any, the name of the file. Without `vectors`: which of the store's to take.
        users: `user_id`, and optionally `timestamp`, attributes, and `interests` that were declared, as text: what is
            known of users, a row a change. Numbers, and texts of few different values, become features of the ranker,
            and so does how well an item's text fits the interests; all as of each query's time.
        facts: `subject`, `relation`, `object`: what is known of items beside their texts, as a table or as N-Triples
            (`.nt`). A subject is an item's id, or an object of other facts. Facts that a candidate shares with the
            items of a user's history become features of the ranker; docs/knowledge.md.
        out: Folder for `bundle/`, `report.html`, `ledger.json` and the steps' intermediate files.
        store: The store to add the tables to and to train on; `out`/store by default.
        config: Settings: the path of a `recmem.toml` (`recmem config` writes one, docs/configuration.md describes it),
            or a dict such as `{"ranker.leaves": 31}`. The arguments below take precedence; what is None is as `config`
            has it, else the default.
        encoder: A local folder or a Hugging Face id; all-MiniLM-L6-v2 by default, which needs no download.
        pooling: `mean`, `cls` or `last`, as the encoder was trained: by default what sentence-transformers has saved in
            its folder, else `mean`. docs/encoders.md lists what some encoders need.
        max_tokens: Texts are cut to this many tokens: by default 256, or fewer if the encoder was saved with fewer.
        text_prefix: Put before every text, such as `"query: "` for e5.
        tune_encoder: What of the encoder learns from the log, if that pays on a held-out part of it: `off`, `last` (its
            last layer, enough for a CPU), `full`, or adapters of the extra `peft` (`lora`, `adalora`, `ia3`, `prefix`).
            `auto` is `full` with a CUDA device, else `off`.
        candidates: Items that are retrieved and ranked per query, 300 by default.
        exclude_seen: Rank only items that are new to the user; True by default. False for what is wanted again, such
            as groceries: then repeats are learned, measured and recommended too.
        positive_from: Ratings of at least this are positive, 4 by default.
        negative_to: Ratings of at most this are negative, 2 by default; those between are neutral.
        positive_events: Names of events that are positive, beside those of common names (view, click, purchase, ...).
            An event that no rule names is neutral, unless no event of the log would be positive then; `intake.kinds` of
            the result says how each is taken.
        negative_events: Names of events that are negative, beside the common ones (skip, return, refund, ...).
        neutral_events: Names of events that are neutral: remembered, but nothing to be ranked first.
        weight: How much events of a name count as training targets, such as `{"click": 0.2}`; 1 where nothing is said.
            A column `weight` of events or impressions multiplies it. Memories, counters and metrics are not weighted.
        features: Columns of the impressions that become features of the ranker: numbers (raw, and as z-scores within
            the query), or text (categories). Candidates must bring them, see `recmem.Model.rank`.
        fact_columns: Text columns of the items whose values are facts too, such as author or brand; `["auto"]` takes
            those of few words that repeat among items. None by default.
        position_debiasing: Learn what the `position` of shown items adds to their clicks, and leave it out of the
            scores; False by default. Candidates need no positions.
        refit: Let the model that ships learn from the whole log once it is measured; True by default. `measured_bundle`
            of the result is the one that was measured.
        folds: Test periods, one after the other, that the same training is measured on; takes as many times as long.
            1 by default.
        ablate: First switch each kind of memory and of text features over, measure what it is worth, and train with
            what pays on validation queries (docs/ablation.md); takes as long as several trainings. False by default.
        promote: When the new version takes the champion's place in MLflow's registry. The champion is scored anew on
            the same test queries. `not-worse` (the default): unless it is significantly worse, overall or on a named
            slice; `better`: if it is significantly better, and worse on no slice; `always`; `never`. `verdict` of the
            result says what came of it.
        registered_name: The registered model that gets a new version, `recmem` by default.
        seed: Of every random draw; 0 by default.
        progress: Shows the stages of the run. By default they are shown where a person watches (a terminal or a
            notebook), and nowhere else; `training.progress.Silent()` shows none, `recmem.cli.console.Bars()` bars.

    Raises:
        DataError: the tables cannot be used (all faults of all tables at once; nothing is written then), neither tables
            nor a store are given, or another training runs in `out`.
        ValueError: settings are unknown or out of range; all faults at once.
    """
    refuse_forked()  # before the imports below, which may themselves wait for threads
    require_tables_or_store(items, events, store)
    options = {
        "encoder": encoder,
        "pooling": pooling,
        "max_tokens": max_tokens,
        "text_prefix": text_prefix,
        "tune_encoder": tune_encoder,
        "vectors_name": vectors_name,
        "candidates": candidates,
        "exclude_seen": exclude_seen,
        "positive_from": positive_from,
        "negative_to": negative_to,
        "positive_events": positive_events,
        "negative_events": negative_events,
        "neutral_events": neutral_events,
        "weight": weight_texts(weight),
        "features": features,
        "fact_columns": fact_columns,
        "position_debiasing": position_debiasing,
        "refit": refit,
        "folds": folds,
        "ablate": ablate,
        "promote": promote,
        "registered_name": registered_name,
        "seed": seed,
    }
    effective = effective_config(config, options=options)
    for name, value in QUIET_MLFLOW.items():
        os.environ.setdefault(name, value)
    from training.pipeline import run_training

    return run_training(
        items=items,
        events=events,
        impressions=impressions,
        vectors=vectors,
        users=users,
        facts=facts,
        out=Path(out),
        store=None if store is None else os.fspath(store),
        config=effective,
        progress=shown_progress(progress),
    )


def require_tables_or_store(items: object, events: object, store: object) -> None:
    """Raises DataError if there is nothing to learn from: neither both tables nor a store."""
    if store is None and (items is None or events is None):
        raise DataError(
            "items, events: expected both, or a store that holds them, got neither. Give the tables, or `store`."
        )
