"""`recmem versions`, `promote` and `rollback`: the versions of a registered model, and which of them is served."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import say, show_table

if TYPE_CHECKING:
    from recmem.serving.version_table import VersionRow

MINUTE_CHARS = len("2026-03-01 12:00")

Name = Annotated[
    str, typer.Option("--registered-name", metavar="NAME", help="The registered model, as `recmem train` named it.")
]
Tracking = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URI",
        help="MLflow server or database, or the folder OUT of a training run.",
        show_default="MLFLOW_TRACKING_URI, else mlflow.db in this folder",
    ),
]


def versions(registered_name: Name = "recmem", tracking: Tracking = None) -> None:
    """List the versions of a registered model.

    Each has its alias, verdict, data and figures. NDCG@10 and lift are those of its own training, on its own test
    queries: compare versions by their verdicts, for which both rank the same queries.
    """
    from recmem.serving.registry import registry_at
    from recmem.serving.version_table import versions_of

    with registry_at(tracking) as client:
        rows = versions_of(client, registered_name)
    if not rows:
        say(f"{registered_name} has no versions.")
        return
    headings = ["version", "alias", "registered (UTC)", "verdict", "data", "NDCG@10", "lift, 95% interval"]
    champions = [number for number, row in enumerate(rows) if "champion" in row.aliases]
    show_table(headings, [_cells(row) for row in rows], n_words=5, marked=champions)


def promote(
    version: Annotated[str, typer.Argument(help="Its number, or an alias such as challenger.")],
    registered_name: Name = "recmem",
    tracking: Tracking = None,
) -> None:
    """Make a version the champion.

    Whatever its verdict was. `recmem serve` follows models:/NAME@champion; other processes serve it from their next
    load on.
    """
    from recmem.serving.champions import promote_by_hand
    from recmem.serving.registry import registry_at

    with registry_at(tracking) as client:
        promoted, before = promote_by_hand(client, registered_name, version)
    if before == promoted:
        say(f"Version {promoted} of {registered_name} is the champion already.")
        return
    instead = f" instead of version {before}" if before else ""
    say(f"Version {promoted} of {registered_name} is the champion now{instead}.")
    if before:
        say(f"`recmem rollback` makes version {before} the champion again.")


def rollback(registered_name: Name = "recmem", tracking: Tracking = None) -> None:
    """Go back to the champion before.

    Called twice, it goes back by two: the registered model keeps the history of its champions.
    """
    from recmem.serving.champions import roll_back
    from recmem.serving.registry import registry_at

    with registry_at(tracking) as client:
        done = roll_back(client, registered_name)
    for skipped in done.skipped:
        say(f"Version {skipped} was champion too, but it was deleted.")
    say(f"Version {done.back_to} of {registered_name} is the champion again instead of version {done.left}.")


def _cells(row: VersionRow) -> list[str]:
    difference, low, high = row.lift
    lift = "-" if math.isnan(difference) else f"{difference:+.3f} ({low:+.3f} to {high:+.3f})"
    if row.ships == "ranker_without_match":
        lift = "ranks without text"
    return [
        row.version,
        ", ".join(row.aliases),
        row.registered_at.isoformat(sep=" ")[:MINUTE_CHARS],
        "; ".join(filter(None, [row.verdict, row.by_hand])),
        row.data,
        "-" if math.isnan(row.ndcg) else f"{row.ndcg:.3f}",
        lift,
    ]
