"""`recmem explain`: why this item for this user."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, cast

import typer

from recmem.cli.console import say, show_table
from recmem.cli.score import ModelSource, OnlineUrl, StorePath

if TYPE_CHECKING:
    from recmem.serving.model import Explanation

N_SLOTS, N_COLUMNS = 10, 12
"""What is shown of the parts, the largest."""

AsOf = Annotated[
    str | None,
    typer.Option(help="As of this moment, ISO 8601 or epoch seconds.", show_default="just after the newest event"),
]


def explain(
    model: ModelSource,
    user: Annotated[str, typer.Option(help="The user's id.")],
    item: Annotated[str, typer.Option(help="The item's id.")],
    store: StorePath = None,
    online: OnlineUrl = None,
    timestamp: AsOf = None,
) -> None:
    """Show what a score is made of: the memories that speak for the item, and what each column adds."""
    moment = parsed(timestamp)
    import recmem

    explanation = recmem.load(model, store=store, online=online).explain(user, item, timestamp=moment)
    say(explanation.sentence())
    _show_match(explanation)
    _show_columns(explanation)


def parsed(timestamp: str | None) -> datetime | None:
    """The moment that an option names; wrong use where it cannot be read."""
    if timestamp is None:
        return None
    import polars as pl

    from feature_store.timestamps import parse_timestamps

    cell = pl.Series("timestamp", [timestamp])
    moments, _ = parse_timestamps(cell)
    if moments.null_count():
        moments, _ = parse_timestamps(cell.cast(pl.Float64, strict=False))
    if moments.null_count():
        what = f"ISO 8601 or epoch seconds, got {timestamp!r}"
        raise typer.BadParameter(f"--timestamp: expected {what}. Try 2026-01-31T12:00.")
    return cast(datetime, moments[0])


def _show_match(explanation: Explanation) -> None:
    from recmem.serving.explain import BASE_SCORE

    largest = sorted(explanation.slots, key=lambda slot: -abs(slot.contribution))
    rows = [[slot.title, str(slot.kind), str(slot.age), f"{slot.contribution:+.3f}"] for slot in largest[:N_SLOTS]]
    if len(largest) > N_SLOTS:
        rest = sum(slot.contribution for slot in largest[N_SLOTS:])
        rows.append([f"{len(largest) - N_SLOTS} more", "", "", f"{rest:+.3f}"])
    rows.append([BASE_SCORE, "", "", f"{explanation.base_score:+.3f}"])
    rows.append(["match, raw", "", "", f"{explanation.match_raw:+.3f}"])
    show_table(("remembered", "kind", "age", "adds"), rows, title="The match score", n_words=2, marked=[len(rows) - 1])


def _show_columns(explanation: Explanation) -> None:
    largest = sorted(explanation.features.items(), key=lambda part: -abs(part[1]))
    rows = [[name, f"{part:+.3f}"] for name, part in largest[:N_COLUMNS]]
    if len(largest) > N_COLUMNS:
        rows.append([f"{len(largest) - N_COLUMNS} more", f"{sum(part for _, part in largest[N_COLUMNS:]):+.3f}"])
    rows.append(["score", f"{explanation.score:+.3f}"])
    show_table(("column", "adds"), rows, title="The ranking score", marked=[len(rows) - 1])
