"""`recmem versions`, `promote` and `rollback`: the versions of a registered model, and which of them is served."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import say, show_table, table_fits

if TYPE_CHECKING:
    from recmem.serving.version_table import VersionRow

MINUTE_CHARS = len("2026-03-01 12:00")
DAY_CHARS = len("2026-03-01")
_UNUSED = "*"
"""Follows a lift that does not ship."""
_IN_BRACKETS = re.compile(r" \([^()]*\)")

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


class Format(StrEnum):
    """How the versions are listed."""

    TABLE = "table"
    JSON = "json"


def versions(
    registered_name: Name = "recmem",
    tracking: Tracking = None,
    format_: Annotated[
        Format, typer.Option("--format", help="json: all versions with all figures, as a list of objects.")
    ] = Format.TABLE,
) -> None:
    """List the versions of a registered model.

    Each has its alias, verdict, data and figures. NDCG@10 is that of the ranker that ships, lift what text features add
    to it; both are those of its own training, on its own test queries: compare versions by their verdicts, for which
    both rank the same queries. In a narrow terminal columns are shortened or left out.
    """
    from recmem.serving.registry import registry_at
    from recmem.serving.version_table import versions_of

    with registry_at(tracking) as client:
        rows = versions_of(client, registered_name)
    if format_ is Format.JSON:
        say(json.dumps([row.document() for row in rows], indent=1))
        return
    if not rows:
        say(f"{registered_name} has no versions.")
        return
    champions = [number for number, row in enumerate(rows) if "champion" in row.aliases]
    detail = next((each for each in DETAILS if table_fits(*_table(rows, each))), DETAILS[-1])
    show_table(*_table(rows, detail), n_words=detail.n_words, marked=champions)
    if any(row.ranks_without_text for row in rows):
        say(f"{_UNUSED} The ranker that ships does without text features.")
    if detail != DETAILS[0]:
        say("Shortened to this width: `recmem versions --format json` has everything.")


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


@dataclass(frozen=True)
class Detail:
    """How much of each version a table shows."""

    data: bool = True
    minutes: bool = True
    """Of the time; else the day alone."""
    interval: bool = True
    """Of the lift."""
    words: bool = True
    """The verdict as it is, and all aliases; else in short."""
    day: bool = True
    """When it was registered."""

    @property
    def n_words(self) -> int:
        """Columns of text; figures follow."""
        return 3 + self.data + self.day


DETAILS = (
    Detail(),
    Detail(data=False),
    Detail(data=False, minutes=False),
    Detail(data=False, minutes=False, interval=False),
    Detail(data=False, minutes=False, words=False),
    Detail(data=False, minutes=False, interval=False, words=False),
    Detail(data=False, minutes=False, interval=False, words=False, day=False),
)
"""What is shown in ever narrower terminals: what matters least is left out first."""


def _table(rows: Sequence[VersionRow], detail: Detail) -> tuple[list[str], list[list[str]]]:
    """Headings and cells."""
    headings = [
        "version" if detail.words else "v",
        "alias",
        *(["registered (UTC)" if detail.minutes else "registered"] if detail.day else []),
        "verdict",
        *(["data"] if detail.data else []),
        "NDCG@10",
        "lift, 95% interval" if detail.interval else "lift",
    ]
    return headings, [_cells(row, detail) for row in rows]


def _cells(row: VersionRow, detail: Detail) -> list[str]:
    time = row.registered_at.isoformat(sep=" ")[: MINUTE_CHARS if detail.minutes else DAY_CHARS]
    return [
        row.version,
        ", ".join(row.aliases) if detail.words else _main_alias(row),
        *([time] if detail.day else []),
        "; ".join(filter(None, [row.verdict, row.by_hand])) if detail.words else _short_verdict(row),
        *([row.data] if detail.data else []),
        "-" if math.isnan(row.ndcg) else f"{row.ndcg:.3f}",
        _lift(row, detail),
    ]


def _main_alias(row: VersionRow) -> str:
    """That the newest version is the challenger is seen from the order."""
    return "champion" if "champion" in row.aliases else ", ".join(row.aliases)


def _short_verdict(row: VersionRow) -> str:
    """What last became of it, without figures: `promoted: not worse than v2`, `rolled back 2026-03-02`."""
    if row.by_hand:
        return row.by_hand.replace(" on ", " ")
    return _IN_BRACKETS.sub("", row.verdict).replace("version ", "v")


def _lift(row: VersionRow, detail: Detail) -> str:
    difference, low, high = row.lift
    mark = _UNUSED if row.ranks_without_text else ""
    if math.isnan(difference):
        return f"-{mark}"
    interval = f" ({low:+.3f} to {high:+.3f})" if detail.interval else ""
    return f"{difference:+.3f}{interval}{mark}"
