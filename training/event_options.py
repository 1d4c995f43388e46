"""The options of `train` and `features`, and of the MLflow project, that say what is learned from events and clicks."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.options import names_of

_METAVAR = "NAME,..."

PositiveFrom = Annotated[
    float, typer.Option(metavar="RATING", help="Lowest positive rating; set it to fit your scale.")
]
NegativeTo = Annotated[
    float, typer.Option(metavar="RATING", help="Highest negative rating; ratings in between are neutral.")
]
PositiveEvents = Annotated[
    str,
    typer.Option(
        "--positive-events",
        metavar=_METAVAR,
        help="Events that are positive, beside those of common names (view, click, purchase, play, ...: see "
        "docs/event_names.md). Case, - and _ do not matter. An event that no rule names is neutral, unless no event "
        "would be positive then.",
        show_default=False,
    ),
]
NegativeEvents = Annotated[
    str,
    typer.Option(
        "--negative-events",
        metavar=_METAVAR,
        help="Events that are negative, beside those of common names (skip, return, refund, complaint, dislike, ...).",
        show_default=False,
    ),
]
NeutralEvents = Annotated[
    str,
    typer.Option(
        "--neutral-events",
        metavar=_METAVAR,
        help="Events that are neutral: remembered, but nothing to be ranked first.",
        show_default=False,
    ),
]
WEIGHT_HELP = (
    "How much events of a name count as training targets, such as click=0.2; 1 where nothing is said. Memories, "
    "counters and metrics are not weighted."
)
Weight = Annotated[
    list[str] | None,
    typer.Option("--weight", metavar="NAME=WEIGHT", help=f"{WEIGHT_HELP} May be repeated.", show_default=False),
]
PositionDebiasing = Annotated[
    bool,
    typer.Option(
        help="Learn what the position of shown items adds to their clicks, and leave it out of the scores. "
        "Impressions need the column position, candidates do not."
    ),
]


def weights_of(options: list[str] | None) -> list[str]:
    """The weights of all uses of `--weight`, of which each may name several with commas between."""
    return [text for option in options or () for text in names_of(option)]
