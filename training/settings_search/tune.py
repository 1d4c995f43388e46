"""`recmem.tune`: a search for better settings from Python, on files or on frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.forked_process import refuse_forked
from training.api import QUIET_MLFLOW, require_tables_or_store
from training.configuration.effective import effective_config
from training.progress import Progress, shown_progress
from training.settings_search.search_space import GROUPS

if TYPE_CHECKING:
    from training.configuration.effective import ConfigInput
    from training.settings_search.search import EndedTrial
    from training.settings_search.tuning_result import TuningResult
    from training.tables import TableInput

MINUTES = 30.0


def tune(
    items: TableInput | None = None,
    events: TableInput | None = None,
    *,
    impressions: TableInput | None = None,
    users: TableInput | None = None,
    facts: TableInput | None = None,
    vectors: TableInput | None = None,
    out: str | os.PathLike[str],
    store: str | os.PathLike[str] | None = None,
    config: ConfigInput | None = None,
    minutes: float = MINUTES,
    trials: int | None = None,
    search: Sequence[str] = GROUPS,
    seed: int | None = None,
    progress: Progress | None = None,
    on_trial: Callable[[EndedTrial], None] | None = None,
) -> TuningResult:
    """Searches for settings that rank better on validation queries, and writes them as a file for `recmem.train`.

    What `recmem tune` does, without printing; docs/tuning.md describes it. It registers nothing and does not read the
    test period. The first trial is `config` as it is, so the result is never worse on the validation queries; whether
    it is better by more than luck is in `gain` of the result. The same call on the same `out` goes on with the search.

    >>> result = recmem.tune(items, events, out="tuning", minutes=30)  # doctest: +SKIP
    >>> recmem.train(items, events, out="run", config=result.config)  # doctest: +SKIP

    Args:
        items: As `recmem.train` takes them; None if `store` already has them.
        events: As `recmem.train` takes them.
        impressions: As `recmem.train` takes them.
        users: As `recmem.train` takes them.
        facts: As `recmem.train` takes them.
        vectors: As `recmem.train` takes them; `config` may name them by `vectors_name`.
        out: Folder for `best.toml`, `trials.parquet`, `tuning.db` (the search itself) and intermediate files.
        store: The store to add the tables to and to read; `out`/store by default.
        config: The base configuration, as `recmem.train` takes it; what is not searched stays as it says.
        minutes: Time of this call. A trial that would not end in time, judging by those before it, is not begun; the
            base configuration always is.
        trials: Most trials in the end, those of earlier calls included; by default as many as the time allows.
        search: Groups of settings that are searched: `ranker`, `match`, or both.
        seed: As the setting `seed`, of the trainings and of the search; `config`'s, else 0, by default.
        progress: Shows the stages within the trials, as for `recmem.train`.
        on_trial: Called with each trial that has ended.

    Raises:
        DataError: the tables cannot be used, the search in `out` is of other data or settings, or another training
            runs there.
        ValueError: settings are unknown or out of range, or nothing can be searched.
        ImportError: Optuna, of the extra `tune`, is not installed.
    """
    refuse_forked()  # before the imports below, which may themselves wait for threads
    require_tables_or_store(items, events, store)
    effective = effective_config(config, options={"seed": seed})
    for name, value in QUIET_MLFLOW.items():
        os.environ.setdefault(name, value)
    from training.settings_search.search import run_search

    return run_search(
        items=items,
        events=events,
        impressions=impressions,
        users=users,
        facts=facts,
        vectors=vectors,
        out=Path(out),
        store=None if store is None else os.fspath(store),
        config=effective,
        minutes=minutes,
        trials=trials,
        groups=tuple(search),
        progress=shown_progress(progress, stay=False),
        on_trial=on_trial or (lambda _: None),
    )
