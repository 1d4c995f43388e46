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
from recmem.cli.error_handling import REFUSED, GuardedCommand, UsageError, show_traceback
from recmem.cli.explain import explain
from recmem.cli.export import exporting
from recmem.cli.forget import forget
from recmem.cli.import_tables import importing
from recmem.cli.ingest import ingest
from recmem.cli.match import match
from recmem.cli.memory import memory
from recmem.cli.publish import publish
from recmem.cli.rejected import rejected, resubmit
from recmem.cli.score import score
from recmem.cli.serve import serve
from recmem.cli.versions import promote, rollback, versions

EPILOG = """\b
First run:
  recmem train --items items.parquet --events events.parquet --out run
  recmem score --model run/bundle --candidates candidates.parquet --out scores.parquet

Exit codes: 0 success; 1 an error, or differences found by `audit`; 2 a usage error; 3 and 4 see `monitor --help`.
"""

COMMAND_GROUP = "recmem.commands"
"""Entry point group in which a package registers a command: a function as `typer.Typer.command` takes it."""

HELP_ORDER = (
    "train",
    "tune",
    "config",
    "score",
    "serve",
    "features",
    "explain",
    "memory",
    "match",
    "versions",
    "promote",
    "rollback",
    "monitor",
    "import",
    "export",
    "ingest",
    "rejected",
    "resubmit",
    "forget",
    "publish",
    "audit",
    "staleness",
    "cascade",
)
"""Order of the commands in `recmem --help`; any others follow by name."""

QUIET_LIBRARIES = {
    "TOKENIZERS_PARALLELISM": "true",  # set, so that tokenizers do not warn about processes that are forked
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "Agg",
}
"""Environment variables that libraries read at their first import; a value that the caller has set is kept."""


class CommandGroup(TyperGroup):
    """recmem's own commands, and those of the entry point group, which are imported when they are needed.

    So recmem does not import `training`, and a team can add commands of its own.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands, in the order of `recmem --help`."""
        names = {*super().list_commands(ctx), *_registered()}
        return [*(name for name in HELP_ORDER if name in names), *sorted(names.difference(HELP_ORDER))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, or None. recmem's own commands take precedence over entry points."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        registered = _registered()
        if cmd_name in registered:
            return _loaded(registered[cmd_name])
        if cmd_name in HELP_ORDER:
            raise UsageError(
                f"{cmd_name}: expected recmem to be installed with its commands, got an outdated or missing "
                "installation. Run pip install again, for a checkout: pip install -e ."
            )
        return None


def _registered() -> dict[str, EntryPoint]:
    # Another package cannot replace recmem's own commands: of equal names the last one stays.
    points = sorted(entry_points(group=COMMAND_GROUP), key=_is_own)
    return {point.name: point for point in points}


def _is_own(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == "recmem"


def _loaded(point: EntryPoint) -> Any:
    """The command of an entry point. If it cannot be imported, that is reported and the other commands still work."""
    try:
        info = CommandInfo(name=point.name, callback=point.load(), cls=GuardedCommand)
        return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)
    except (Exception, SystemExit) as error:  # broad on purpose: the code is another package's
        got = f"{type(error).__name__}: {error}"
        complain(f"{point.name}: expected a command at {point.value}, got {got}. Reinstall the package that adds it.")
        return None


app = typer.Typer(
    name="recmem",
    cls=CommandGroup,
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would swallow the brackets around optional columns
)

OWN_COMMANDS = (
    ingest,
    score,
    serve,
    explain,
    memory,
    match,
    versions,
    promote,
    rollback,
    publish,
    audit,
    rejected,
    resubmit,
    forget,
)
for command in OWN_COMMANDS:
    app.command(cls=GuardedCommand)(command)
app.add_typer(importing)
app.add_typer(exporting)
app.command("mend", cls=GuardedCommand, hidden=True)(resubmit)  # its name before 0.2


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        typer.echo(f"recmem {version('recmem')}")
    except PackageNotFoundError:
        typer.echo("recmem (not installed)")
    raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback when something fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    """Text features, learned from each user's history, for LightGBM rankers: train, score, explain and check."""
    del debug, version  # read by GuardedCommand, and by show_version


def main() -> None:
    """Run the command line. Exit codes: 0 success; 1 an error, or differences found by `audit`; 2 a usage error."""
    for name, value in QUIET_LIBRARIES.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except Exception as error:  # broad on purpose: with --debug, whatever ended the command
        show_traceback(error)
        raise SystemExit(REFUSED) from None
