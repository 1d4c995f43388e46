"""The commands, put together."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from recmem.cli.audit import audit
from recmem.cli.cascade import cascade
from recmem.cli.explain import explain
from recmem.cli.forget import forget
from recmem.cli.guard import GuardedCommand
from recmem.cli.ingest import ingest
from recmem.cli.memory import memory
from recmem.cli.publish import publish
from recmem.cli.rejected import mend, rejected
from recmem.cli.score import score
from recmem.cli.staleness import staleness
from recmem.cli.train import train

EPILOG = (
    "A first run:  recmem train --items items.parquet --events events.parquet --out run  "
    "then  recmem score --model run/bundle --candidates candidates.parquet --out scores.parquet"
)

QUIET_LIBRARIES = {
    "TOKENIZERS_PARALLELISM": "true",  # said, so that nothing is said of processes that are forked and never tokenize
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "Agg",
}
"""What the libraries under us read when they are first imported; a setting that the caller has made stands."""

app = typer.Typer(
    name="recmem",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (train, ingest, score, explain, memory, publish, audit, staleness, cascade, rejected, mend, forget):
    app.command(cls=GuardedCommand)(command)


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        typer.echo(f"recmem {version('recmem')}")
    except PackageNotFoundError:
        typer.echo("recmem from a checkout that is not installed")
    raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback when something fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    """A text memory per user: how much does it add to your LightGBM ranker, and why this item?"""
    del debug, version  # read by GuardedCommand, and by show_version


def main() -> None:
    """Run the command line; exits with 0 (done), 1 (refused data) or 2 (wrong use)."""
    for name, value in QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    app()
