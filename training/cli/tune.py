"""`recmem tune`: searches for better settings, and writes them as a file for `recmem train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recmem.cli.console import Bars, complain, say, show_table
from recmem.cli.error_handling import UsageError
from recmem.cli.ingest import Events, Facts, Impressions, Items, Users
from recmem.cli.options import names_of
from recmem.cli.vector_options import Vectors
from training.cli.interruption import INTERRUPTED, STEPS_ARE_KEPT, interruptible
from training.cli.setting_options import OF_THE_WHOLE, require_tables, settings_given, takes_settings
from training.cli.train import StoreOfRun, how_to_open, short_path

if TYPE_CHECKING:
    from training.settings_search.search import EndedTrial
    from training.settings_search.tuning_result import TuningResult

_MOST_IMPORTANT = 5


@interruptible(STEPS_ARE_KEPT)
@takes_settings(but=OF_THE_WHOLE)
def tune(
    context: typer.Context,
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Output folder: best.toml (the best settings), trials.parquet (a row per trial), tuning.db (the "
            "search itself), work/ (intermediate files) and, by default, store/, mlflow.db and mlartifacts/.",
        ),
    ],
    items: Items = None,
    events: Events = None,
    impressions: Impressions = None,
    users: Users = None,
    facts: Facts = None,
    vectors: Vectors = None,
    store: StoreOfRun = None,
    minutes: Annotated[
        float,
        typer.Option(
            metavar="N",
            help="Time of this call. A trial that would not end in time, judging by those before it, is not begun.",
        ),
    ] = 30.0,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Most trials in the end, those of earlier calls included.",
            show_default="as many as the time allows",
        ),
    ] = None,
    search: Annotated[
        str,
        typer.Option(
            metavar="GROUP,...",
            help="Settings that are searched: those of the ranker (ranker), of the match module and the memory "
            "(match), or both.",
        ),
    ] = "ranker,match",
    **options: Any,
) -> None:
    """Search for settings that rank better.

    Settings are tried on validation queries: the later part of what the ranker is fitted on. The test is not read, and
    nothing is registered. The first trial is the configuration as it is (defaults, --config, --set, options), so the
    best is never worse on these queries. The same command goes on with the search, also after Ctrl-C or a crash.

    \b
      recmem tune --items items.parquet --events events.parquet --out tuning --minutes 30
      recmem train --items items.parquet --events events.parquet --out run --config tuning/best.toml
    """
    require_tables(items, events, store)
    settings = settings_given(context, options)
    from training.settings_search.search import check_limits, run_search

    groups = names_of(search)
    try:
        check_limits(minutes, trials, groups)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    from training.report.terminal import show_intake

    result = run_search(
        items=items,
        events=events,
        impressions=impressions,
        users=users,
        facts=facts,
        vectors=vectors,
        out=out,
        store=store,
        config=settings,
        minutes=minutes,
        trials=trials,
        groups=groups,
        progress=Bars(stay=False),
        on_intake=show_intake,
        on_trial=_show_trial,
    )
    _show_result(result)
    say(f"Best settings: {short_path(result.config)}\nTrials: {short_path(result.table)}\nMLflow: {how_to_open(out)}")
    if result.interrupted:
        complain("Stopped by Ctrl-C. The same command goes on with the search.")
        raise typer.Exit(INTERRUPTED)


def _show_trial(ended: EndedTrial) -> None:
    from training.settings_search.result_text import trial_sentence

    say(trial_sentence(ended.trial, ended.best, queries=ended.queries, left_s=ended.left_s))


def _show_result(result: TuningResult) -> None:
    """Prints what the best trial changes, what it gains, and which settings mattered."""
    from training.settings_search.result_text import gain_sentences, value_text

    n_completed = sum(trial.value is not None for trial in result.trials)
    if result.changed:
        rows = [(name, value_text(before), value_text(after)) for name, (before, after) in result.changed.items()]
        show_table(("setting", "base configuration", "best trial"), rows, title="Settings of the best trial")
    for sentence in gain_sentences(result.base, result.best, n_completed, result.gain):
        say(sentence)
    if result.importances:
        first = list(result.importances.items())[:_MOST_IMPORTANT]
        say(f"What mattered most: {', '.join(f'{name} ({share:.0%})' for name, share in first)}.")
    if result.not_searched:
        say(f"Not searched, because it is 0 in the base configuration: {', '.join(result.not_searched)}.")
