"""`recmem export`: writes scores in the form that others take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.error_handling import GuardedCommand

exporting = typer.Typer(
    name="export", help="Write scores in the form that others take.", no_args_is_help=True, rich_markup_mode=None
)


@exporting.callback()
def forms() -> None:
    """Write scores in the form that others take."""


@exporting.command("mind-prediction", cls=GuardedCommand)
def mind_prediction(
    scores: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="Parquet file of `recmem score`, from the candidates.parquet of `recmem import mind`."
        ),
    ],
    behaviors: Annotated[Path, typer.Option(metavar="PATH", help="The behaviors.tsv that was imported.")],
    out: Annotated[Path, typer.Option(metavar="PATH", help="The file to write, such as prediction.txt.")],
) -> None:
    """Write the file of ranks that MIND's leaderboard takes.

    A line per impression, in the order of behaviors.tsv: its id, and the rank of each of its news, 1 for the highest
    score. Equal scores get distinct ranks, in the order of the news in behaviors.tsv.
    """
    from feature_store.importers.mind_prediction import export_mind_prediction

    with Bars().stage("Reading lines", None) as advance:
        written = export_mind_prediction(scores, behaviors, out, advance)
    say(f"Wrote the ranks of {written.n_impressions:,} impressions to {out}. The leaderboard takes it as a .zip file.")
    if written.n_left_over:
        complain(f"{written.n_left_over:,} scores are of no impression in {behaviors.name}, and were not used.")
