"""`recmem explain`: why this item for this user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import say, show_table
from recmem.cli.error_handling import UsageError
from recmem.cli.options import AsOf, ModelSource, OnlineUrl, StorePath, User, parse_time
from recmem.cli.printable import one_line

if TYPE_CHECKING:
    from recmem.serving.model import Explanation

N_SLOTS = 10
"""Memory slots shown: those with the largest contributions. The others are summed in one row."""
N_FEATURES = 12
"""Ranking features shown, chosen likewise."""


def explain(
    model: ModelSource,
    user: User,
    item: Annotated[str, typer.Option(metavar="ID", help="The item's id.")],
    store: StorePath = None,
    online: OnlineUrl = None,
    timestamp: AsOf = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="The item's value of a feature of your own (train --features), such as ctr_7d=0.3; repeatable.",
            show_default="its typical value",
        ),
    ] = None,
) -> None:
    """Explain an item's scores for a user.

    Shows what each memory slot contributes to the match score, and each feature to the ranking score.
    """
    time = parse_time(timestamp, option="--timestamp")
    features = dict(_column_and_value(option) for option in feature or ())
    import recmem

    explanation = recmem.load(model, store=store, online=online).explain(user, item, timestamp=time, features=features)
    say(one_line(explanation.sentence()))
    _show_match(explanation)
    _show_features(explanation)


def _column_and_value(option: str) -> tuple[str, str]:
    column, equals, value = option.partition("=")
    if not (column and equals):
        raise UsageError(f"--feature: expected COLUMN=VALUE, got {option!r}. Give, for example, ctr_7d=0.3.")
    return column, value


def _show_match(explanation: Explanation) -> None:
    from recmem.serving.explain import BASE_SCORE

    largest = sorted(explanation.slots, key=lambda slot: -abs(slot.contribution))
    rows = [
        [slot.title, str(slot.kind), "" if slot.age is None else str(slot.age), f"{slot.contribution:+.3f}"]
        for slot in largest[:N_SLOTS]
    ]
    if len(largest) > N_SLOTS:
        rest = sum(slot.contribution for slot in largest[N_SLOTS:])
        rows.append([f"{len(largest) - N_SLOTS} more", "", "", f"{rest:+.3f}"])
    rows.append([BASE_SCORE, "", "", f"{explanation.base_score:+.3f}"])
    rows.append(["match score, raw", "", "", f"{explanation.match_raw:+.3f}"])
    headings = ("memory slot", "kind", "visits ago", "contribution")
    show_table(headings, rows, title="Match score", n_words=2, marked=[len(rows) - 1])


def _show_features(explanation: Explanation) -> None:
    largest = sorted(explanation.features.items(), key=lambda part: -abs(part[1]))
    rows = [[name, f"{part:+.3f}"] for name, part in largest[:N_FEATURES]]
    if len(largest) > N_FEATURES:
        rest = sum(part for _, part in largest[N_FEATURES:])
        rows.append([f"{len(largest) - N_FEATURES} more", f"{rest:+.3f}"])
    rows.append(["ranking score", f"{explanation.score:+.3f}"])
    show_table(("feature", "contribution"), rows, title="Ranking score", marked=[len(rows) - 1])
