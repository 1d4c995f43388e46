"""`python -m training.mlflow_project`: the entry points of the MLflow project. An empty option counts as not given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.app import QUIET_LIBRARIES
from recmem.cli.console import Bars, say
from recmem.cli.error_handling import GuardedCommand, UsageError
from recmem.serving.champions import REGISTERED_NAME
from training.report.intake_text import remind_of_lost_rows, show_intake
from training.report.terminal import show_ledger, show_verdict

if TYPE_CHECKING:
    from training.config import TrainingConfig

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Out = Annotated[Path, typer.Option(metavar="PATH", help="Output folder of the run, shared by its steps.")]
File = Annotated[
    str,
    typer.Option(
        metavar="PATH|URL",
        help="Table to add (Parquet, CSV, JSON lines, Arrow or Delta); empty if the store already has it.",
    ),
]
StorePath = Annotated[str, typer.Option(metavar="PATH|URL", help="The store; empty for OUT/store.")]
Seed = Annotated[
    float, typer.Option(metavar="N", min=0, help="Random seed: a float, because MLflow has no integer parameters.")
]

Encoder = Annotated[str, typer.Option(metavar="PATH|ID", help="Text encoder; empty for the default.")]
Pooling = Annotated[
    str, typer.Option(metavar="mean|cls|last", help="How it pools tokens to a vector; empty for the encoder's own.")
]
MaxTokens = Annotated[
    float, typer.Option(metavar="N", help="Texts are cut to this many tokens; 0 for 256, or the encoder's own.")
]
TextPrefix = Annotated[str, typer.Option(metavar="TEXT", help='Put before every text, e.g. "query: ".')]
Tuning = Annotated[
    str,
    typer.Option(
        "--tune-encoder",
        "--tune_encoder",  # MLflow's parameters have names without hyphens
        metavar="auto|off|last|full|lora|adalora|ia3|prefix",
        help="What of the text encoder learns; auto: full with a CUDA device, else off.",
    ),
]

Promote = Annotated[
    str,
    typer.Option(
        metavar="better|not-worse|always|never", help="When the new version takes the champion's place; see the README."
    ),
]
RegisteredName = Annotated[
    str,
    typer.Option(
        "--registered-name", "--registered_name", metavar="NAME", help="The registered model that gets a new version."
    ),
]

EncoderSettings = tuple[str, str, float, str]
"""Name, pooling, tokens and prefix."""
NO_SETTINGS: EncoderSettings = ("", "", 0, "")


@app.command(cls=GuardedCommand)
def main(
    items: File,
    events: File,
    out: Out,
    impressions: File = "",
    store: StorePath = "",
    seed: Seed = 0,
    encoder: Encoder = "",
    pooling: Pooling = "",
    max_tokens: MaxTokens = 0,
    text_prefix: TextPrefix = "",
    tune_encoder: Tuning = "auto",
    promote: Promote = "not-worse",
    registered_name: RegisteredName = REGISTERED_NAME,
) -> None:
    """Run all steps, each as a child run."""
    from training.pipeline import run_training

    result = run_training(
        items=items or None,
        events=events or None,
        impressions=impressions or None,
        out=out,
        store=store or None,
        config=_config(
            seed, (encoder, pooling, max_tokens, text_prefix), tune_encoder, promote=promote, name=registered_name
        ),
        progress=Bars(),
        on_intake=show_intake,
    )
    show_ledger(result.ledger)
    show_verdict(result.verdict)
    say(result.registration)
    remind_of_lost_rows(result.intake, store or out / "store")


@app.command(cls=GuardedCommand)
def ingest(out: Out, items: File = "", events: File = "", impressions: File = "", store: StorePath = "") -> None:
    """Add tables to the store."""
    _step("ingest", out, store, 0, (items, events, impressions))


@app.command(cls=GuardedCommand)
def encode(
    out: Out,
    store: StorePath = "",
    seed: Seed = 0,
    encoder: Encoder = "",
    pooling: Pooling = "",
    max_tokens: MaxTokens = 0,
    text_prefix: TextPrefix = "",
) -> None:
    """Encode the items' texts."""
    _step("encode", out, store, seed, encoder=(encoder, pooling, max_tokens, text_prefix))


@app.command(cls=GuardedCommand)
def tune(
    out: Out,
    store: StorePath = "",
    seed: Seed = 0,
    encoder: Encoder = "",
    pooling: Pooling = "",
    max_tokens: MaxTokens = 0,
    text_prefix: TextPrefix = "",
    tune_encoder: Tuning = "auto",
) -> None:
    """Tune the text encoder, if that pays on a held-out part of the log."""
    settings = (encoder, pooling, max_tokens, text_prefix)
    _step("tune", out, store, seed, encoder=settings, tune_encoder=tune_encoder)


@app.command(cls=GuardedCommand)
def match(
    out: Out,
    store: StorePath = "",
    seed: Seed = 0,
    encoder: Encoder = "",
    pooling: Pooling = "",
    max_tokens: MaxTokens = 0,
    text_prefix: TextPrefix = "",
) -> None:
    """Fit the match module."""
    _step("match", out, store, seed, encoder=(encoder, pooling, max_tokens, text_prefix))


@app.command(cls=GuardedCommand)
def rank(
    out: Out,
    store: StorePath = "",
    seed: Seed = 0,
    encoder: Encoder = "",
    pooling: Pooling = "",
    max_tokens: MaxTokens = 0,
    text_prefix: TextPrefix = "",
) -> None:
    """Fit the rankers, with and without the match features."""
    _step("rank", out, store, seed, encoder=(encoder, pooling, max_tokens, text_prefix))


@app.command(cls=GuardedCommand)
def evaluate(
    out: Out,
    store: StorePath = "",
    seed: Seed = 0,
    encoder: Encoder = "",
    pooling: Pooling = "",
    max_tokens: MaxTokens = 0,
    text_prefix: TextPrefix = "",
) -> None:
    """Evaluate on the test window."""
    _step("evaluate", out, store, seed, encoder=(encoder, pooling, max_tokens, text_prefix))


@app.command(cls=GuardedCommand)
def refit(
    out: Out,
    store: StorePath = "",
    seed: Seed = 0,
    encoder: Encoder = "",
    pooling: Pooling = "",
    max_tokens: MaxTokens = 0,
    text_prefix: TextPrefix = "",
) -> None:
    """Refit the model that was evaluated on the whole log."""
    _step("refit", out, store, seed, encoder=(encoder, pooling, max_tokens, text_prefix))


@app.command(cls=GuardedCommand)
def report(
    out: Out,
    store: StorePath = "",
    seed: Seed = 0,
    encoder: Encoder = "",
    pooling: Pooling = "",
    max_tokens: MaxTokens = 0,
    text_prefix: TextPrefix = "",
    promote: Promote = "not-worse",
    registered_name: RegisteredName = REGISTERED_NAME,
) -> None:
    """Compare with the champion; write bundle, ledger and report; register the model."""
    settings = (encoder, pooling, max_tokens, text_prefix)
    _step("report", out, store, seed, encoder=settings, promote=promote, registered_name=registered_name)


@app.command(cls=GuardedCommand)
def score(
    candidates: Annotated[Path, typer.Option(metavar="PATH", help="Parquet file of candidates.")],
    out: Annotated[Path, typer.Option(metavar="PATH", help="Output Parquet file.")],
    model: Annotated[
        str, typer.Option(metavar="PATH|URI", help="Bundle folder, or models:/name@alias.")
    ] = "models:/recmem@champion",
    store: StorePath = "",
) -> None:
    """Score a Parquet file of candidates."""
    from recmem.cli.score import score as score_candidates

    score_candidates(model=model, candidates=candidates, out=out, store=store or None)


def _step(
    step: str,
    out: Path,
    store: str,
    seed: float,
    tables: tuple[str, str, str] = ("", "", ""),
    encoder: EncoderSettings = NO_SETTINGS,
    tune_encoder: str = "auto",
    promote: str = "not-worse",
    registered_name: str = REGISTERED_NAME,
) -> None:
    from training.pipeline import finish, run_step
    from training.run import open_run
    from training.run_lock import only_training_in
    from training.tables import Tables
    from training.tracking.tracker import Tracker

    config = _config(seed, encoder, tune_encoder, promote=promote, name=registered_name)
    run = open_run(Tables(*(path or None for path in tables)), out, store or None, config, Bars())
    with only_training_in(run.out), Tracker.start(run.out, run_name=step) as tracker:
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


def _config(seed: float, encoder: EncoderSettings, tune_encoder: str, *, promote: str, name: str) -> TrainingConfig:
    from typing import Any, cast

    from feature_store import DataError
    from recmem.text.encoder_settings import encoder_config
    from training.config import TrainingConfig
    from training.fitting.fit_encoder import EncoderTuningConfig

    encoder_name, pooling, max_tokens, text_prefix = encoder
    try:
        settings = encoder_config(
            encoder_name or None, pooling=pooling or None, max_tokens=int(max_tokens) or None, text_prefix=text_prefix
        )
    except DataError:  # the encoder, not an option
        raise
    except ValueError as error:
        raise UsageError(str(error)) from error
    try:
        tuning = EncoderTuningConfig(kind=cast(Any, tune_encoder))
    except ValueError as error:
        raise UsageError(f"--tune-encoder: {error}") from error
    try:
        return TrainingConfig(
            seed=int(seed),
            encoder=settings,
            tuning=tuning,
            promote=cast(Any, promote),
            registered_name=name or REGISTERED_NAME,
        )
    except ValueError as error:
        raise UsageError(f"--{str(error).replace('_', '-', 1)}") from error


if __name__ == "__main__":
    for name, value in QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    app()
