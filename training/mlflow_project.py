"""`python -m training.mlflow_project`: the entry points of the MLflow project. An empty option counts as not given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.app import QUIET_LIBRARIES
from recmem.cli.console import Bars, say
from recmem.cli.error_handling import GuardedCommand, UsageError
from recmem.cli.ingest import Features
from training.ablation.plan_text import show_plan
from training.cli.train import show_result
from training.event_options import WEIGHT_HELP, NegativeEvents, NeutralEvents, PositiveEvents
from training.report.terminal import remind_of_lost_rows, show_intake, show_ledger, show_verdict

if TYPE_CHECKING:
    from training.config import TrainingConfig

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # one fault a line, as `recmem` shows them
)

Out = Annotated[Path, typer.Option(metavar="PATH", help="Output folder of the run, shared by its steps.")]
File = Annotated[
    str,
    typer.Option(
        metavar="PATH|URL",
        help="Table to add (Parquet, CSV, JSON lines, Arrow or Delta); empty if the store already has it.",
    ),
]
StorePath = Annotated[str, typer.Option(metavar="PATH|URL", help="The store; empty for OUT/store.")]
Config = Annotated[
    str, typer.Option(metavar="PATH", help="Settings as a TOML file, such as recmem.toml; empty for the defaults.")
]
Assignments = Annotated[
    str,
    typer.Option(
        "--set",
        metavar="SETTING=VALUE;...",
        help="Single settings, which override those of the file: ranker.leaves=31; memory.recent=20.",
    ),
]
Seed = Annotated[str, typer.Option(metavar="N", help="Random seed; empty for the file's, or 0.")]
Encoder = Annotated[str, typer.Option(metavar="PATH|ID", help="Text encoder; empty for the file's or the default.")]
Pooling = Annotated[
    str, typer.Option(metavar="mean|cls|last", help="How it pools tokens to a vector; empty for the encoder's own.")
]
MaxTokens = Annotated[
    str, typer.Option(metavar="N", help="Texts are cut to this many tokens; empty for 256, or the encoder's own.")
]
TextPrefix = Annotated[str, typer.Option(metavar="TEXT", help='Put before every text, e.g. "query: ".')]
Tuning = Annotated[
    str,
    typer.Option(
        "--tune-encoder",
        "--tune_encoder",  # MLflow's parameters have names without hyphens
        metavar="auto|off|last|full|lora|adalora|ia3|prefix",
        help="What of the text encoder learns; empty or auto: full with a CUDA device, else off.",
    ),
]
Weight = Annotated[str, typer.Option("--weight", metavar="NAME=WEIGHT,...", help=f"{WEIGHT_HELP} Empty: all count 1.")]
PositionDebiasing = Annotated[
    str,
    typer.Option(
        "--position-debiasing",
        "--position_debiasing",
        metavar="true|false",
        help="Whether what the position of shown items adds to their clicks is learned and left out of the scores; "
        "empty: false.",
    ),
]
Refit = Annotated[
    str, typer.Option(metavar="true|false", help="Whether the model that ships learns from the whole log; empty: true.")
]
Folds = Annotated[
    str, typer.Option(metavar="N", help="Test windows, one after the other, to measure the training on; empty: 1.")
]
Ablate = Annotated[
    str,
    typer.Option(
        metavar="true|false",
        help="Whether each kind of memory and of text features is switched over and measured first; empty: false.",
    ),
]
Promote = Annotated[
    str,
    typer.Option(
        metavar="better|not-worse|always|never",
        help="When the new version takes the champion's place; empty: not-worse.",
    ),
]
VectorsName = Annotated[
    str,
    typer.Option(
        "--vectors-name",
        "--vectors_name",
        metavar="NAME",
        help="Vectors of the items in place of a text encoder, by their name; empty: those of --vectors, if given.",
    ),
]
RegisteredName = Annotated[
    str,
    typer.Option(
        "--registered-name",
        "--registered_name",
        metavar="NAME",
        help="The registered model that gets a new version; empty: recmem.",
    ),
]

STEPS = {
    "encode": "Encode the items' texts.",
    "tune": "Tune the text encoder, if that pays on a held-out part of the log.",
    "match": "Fit the match module.",
    "rank": "Fit the rankers, with and without the text features.",
    "evaluate": "Evaluate on the test window.",
    "refit": "Refit the model that was evaluated on the whole log.",
    "report": "Compare with the champion; write bundle, ledger and report; register the model.",
}
"""The steps after `ingest`, which all take the same parameters."""


@app.command(cls=GuardedCommand)
def main(
    items: File,
    events: File,
    out: Out,
    impressions: File = "",
    vectors: File = "",
    vectors_name: VectorsName = "",
    users: File = "",
    facts: File = "",
    store: StorePath = "",
    config: Config = "",
    assignments: Assignments = "",
    seed: Seed = "",
    encoder: Encoder = "",
    pooling: Pooling = "",
    max_tokens: MaxTokens = "",
    text_prefix: TextPrefix = "",
    tune_encoder: Tuning = "",
    positive_events: PositiveEvents = "",
    negative_events: NegativeEvents = "",
    neutral_events: NeutralEvents = "",
    weight: Weight = "",
    features: Features = "",
    position_debiasing: PositionDebiasing = "",
    refit: Refit = "",
    folds: Folds = "",
    ablate: Ablate = "",
    promote: Promote = "",
    registered_name: RegisteredName = "",
) -> None:
    """Run all steps, each as a child run."""
    options = {
        "seed": seed,
        "encoder": encoder,
        "pooling": pooling,
        "max_tokens": max_tokens,
        "text_prefix": text_prefix,
        "tune_encoder": tune_encoder,
        "vectors_name": vectors_name,
        "positive_events": positive_events,
        "negative_events": negative_events,
        "neutral_events": neutral_events,
        "weight": weight,
        "features": features,
        "position_debiasing": position_debiasing,
        "refit": refit,
        "folds": folds,
        "ablate": ablate,
        "promote": promote,
        "registered_name": registered_name,
    }
    settings = _config(config, assignments, options)
    from training.pipeline import run_training

    result = run_training(
        items=items or None,
        events=events or None,
        impressions=impressions or None,
        vectors=vectors or None,
        users=users or None,
        facts=facts or None,
        out=out,
        store=store or None,
        config=settings,
        progress=Bars(),
        on_intake=show_intake,
        on_plan=show_plan,
    )
    show_result(result, store or out / "store")
    say(f"Report: {result.report.absolute()}\nModel:  {result.bundle.absolute()}")


@app.command(cls=GuardedCommand)
def ingest(
    out: Out,
    items: File = "",
    events: File = "",
    impressions: File = "",
    vectors: File = "",
    vectors_name: VectorsName = "",
    users: File = "",
    facts: File = "",
    store: StorePath = "",
    config: Config = "",
    assignments: Assignments = "",
    positive_events: PositiveEvents = "",
    negative_events: NegativeEvents = "",
    neutral_events: NeutralEvents = "",
    weight: Weight = "",
    features: Features = "",
    position_debiasing: PositionDebiasing = "",
) -> None:
    """Add tables to the store."""
    options = {
        "positive_events": positive_events,
        "negative_events": negative_events,
        "neutral_events": neutral_events,
        "weight": weight,
        "features": features,
        "position_debiasing": position_debiasing,
        "vectors_name": vectors_name,
    }
    tables = {"items": items, "events": events, "impressions": impressions, "users": users}
    tables |= {"facts": facts, "vectors": vectors}
    _step("ingest", out, store, _config(config, assignments, options), tables)


def _step_command(step: str) -> Callable[..., None]:
    """The command of a step after `ingest`."""

    def command(
        out: Out,
        store: StorePath = "",
        config: Config = "",
        assignments: Assignments = "",
        seed: Seed = "",
        encoder: Encoder = "",
        pooling: Pooling = "",
        max_tokens: MaxTokens = "",
        text_prefix: TextPrefix = "",
        vectors_name: VectorsName = "",
        tune_encoder: Tuning = "",
        positive_events: PositiveEvents = "",
        negative_events: NegativeEvents = "",
        neutral_events: NeutralEvents = "",
        weight: Weight = "",
        features: Features = "",
        position_debiasing: PositionDebiasing = "",
        refit: Refit = "",
        promote: Promote = "",
        registered_name: RegisteredName = "",
    ) -> None:
        options = {
            "seed": seed,
            "encoder": encoder,
            "pooling": pooling,
            "max_tokens": max_tokens,
            "text_prefix": text_prefix,
            "tune_encoder": tune_encoder,
            "vectors_name": vectors_name,
            "positive_events": positive_events,
            "negative_events": negative_events,
            "neutral_events": neutral_events,
            "weight": weight,
            "features": features,
            "position_debiasing": position_debiasing,
            "refit": refit,
            "promote": promote,
            "registered_name": registered_name,
        }
        _step(step, out, store, _config(config, assignments, options))

    return command


for _name, _help in STEPS.items():
    app.command(_name, cls=GuardedCommand, help=_help)(_step_command(_name))


@app.command(cls=GuardedCommand)
def score(
    candidates: Annotated[str, typer.Option(metavar="PATH|URL", help="File of candidates, see docs/scoring_files.md.")],
    out: Annotated[str, typer.Option(metavar="PATH|URL", help="Output file, in the format of its ending.")],
    model: Annotated[
        str, typer.Option(metavar="PATH|URI", help="Bundle folder, or models:/name@alias.")
    ] = "models:/recmem@champion",
    store: StorePath = "",
) -> None:
    """Score a file of candidates."""
    from recmem.cli.score import score as score_candidates

    score_candidates(model=model, candidates=candidates, out=out, store=store or None)


def _step(step: str, out: Path, store: str, config: TrainingConfig, tables: dict[str, str] | None = None) -> None:
    from training.parent_run import log_config
    from training.pipeline import finish, run_step
    from training.run import open_run
    from training.run_lock import only_training_in
    from training.tables import Tables
    from training.tracking.tracker import Tracker

    given = {name: path for name, path in (tables or {}).items() if path}
    run = open_run(Tables(**given), out, store or None, config, Bars())
    with only_training_in(run.out), Tracker.start(run.out, run_name=step) as tracker:
        log_config(run, tracker, kind=step)
        if step == "report":
            result = finish(run, tracker)
            show_ledger(result.ledger)
            show_verdict(result.verdict)
            say(result.registration)
            return
        run_step(run, step, tracker)
        if step == "ingest":
            show_intake(run.intake)
            remind_of_lost_rows(run.intake, run.store.path)


def _config(path: str, assignments: str, options: dict[str, str]) -> TrainingConfig:
    """The settings of a run; an empty option is not given. Raises UsageError with all faults."""
    from training.configuration.all_settings import option_name
    from training.configuration.effective import effective_config
    from training.configuration.given_settings import ConfigError

    given = {name: value for name, value in options.items() if value}
    listed = [assignment for assignment in assignments.split(";") if assignment.strip()]
    try:
        return effective_config(
            path or None, assignments=listed, options=given, options_are_text=True, label=option_name
        )
    except ConfigError as error:
        raise UsageError(str(error)) from error


if __name__ == "__main__":
    for name, value in QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    app()
