"""The `recmem` command: recmem's own commands, and those that other packages register as entry points."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from recmem.cli.audit import audit
from recmem.cli.console import complain
from recmem.cli.error_handling import GuardedCommand
from recmem.cli.explain import explain
from recmem.cli.forget import forget
from recmem.cli.ingest import ingest
from recmem.cli.memory import memory
from recmem.cli.publish import publish
from recmem.cli.rejected import rejected, resubmit
from recmem.cli.score import score

EPILOG = (
    "A first run:  recmem train --items items.parquet --events events.parquet --out run  "
    "then  recmem score --model run/bundle --candidates candidates.parquet --out scores.parquet"
)

COMMAND_GROUP = "recmem.commands"
"""Entry point group in which a package registers a command: a function as `typer.Typer.command` takes it."""

QUIET_LIBRARIES = {
    "TOKENIZERS_PARALLELISM": "true",  # said, so that nothing is said of processes that are forked and never tokenize
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "Agg",
}
"""What the libraries under us read when they are first imported; a setting that the caller has made stands."""


class CommandGroup(TyperGroup):
    """recmem's own commands, and those of the entry point group, which are imported when they are asked for.

    So recmem needs to know nothing of `training`, and a team can add commands of its own.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands, in the order of `recmem --help`: those of entry points first."""
        own = super().list_commands(ctx)
        return [*(name for name in _registered() if name not in own), *own]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name; None where there is none. recmem's own win over entry points."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _registered():
            return own
        return _loaded(_registered()[cmd_name])


def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=COMMAND_GROUP)}


def _loaded(point: EntryPoint) -> Any:
    """The command of an entry point. One that cannot be imported is reported, and does not break the others."""
    try:
        function = point.load()
    except (ImportError, AttributeError) as error:
        complain(f"{point.name}: expected a command at {point.value}, got {error}. Reinstall the package that adds it.")
        return None
    info = CommandInfo(name=point.name, callback=function, cls=GuardedCommand)
    return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)


app = typer.Typer(
    name="recmem",
    cls=CommandGroup,
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take the brackets of optional columns for markup
)

for command in (ingest, score, explain, memory, publish, audit, rejected, resubmit, forget):
    app.command(cls=GuardedCommand)(command)
app.command("mend", cls=GuardedCommand, hidden=True)(resubmit)  # its name before 0.2


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
