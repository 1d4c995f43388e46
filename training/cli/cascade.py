"""`recmem cascade`: what it costs in quality, and gains in speed, if LightGBM re-ranks the best candidates only."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.console import Bars, say, show_table
from recmem.cli.options import ModelSource, StorePath


def cascade(
    model: ModelSource,
    store: StorePath = None,
    queries: Annotated[
        int, typer.Option(min=1, help="Test queries to rank, at most, spread evenly over the test period.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the bootstrap intervals and for breaking ties.")] = 0,
) -> None:
    """Measure the cost of `recmem score --trees-share`: NDCG loss against speed-up.

    Ranks the queries after the training period. The linear blend of the features scores all candidates; LightGBM
    re-ranks only the best share of each query.
    """
    import numpy as np

    import recmem
    from training.evaluation.cascade_cost import TREE_SHARES, cascade_cost

    loaded = recmem.load(model, store=store)
    with Bars().stage("Ranking with cascades", len(TREE_SHARES)) as advance:
        found = cascade_cost(loaded, limit=queries, generator=np.random.default_rng(seed), on_pass=advance)
    say(f"{found.queries:,} queries after {found.test_from}; NDCG@10 without a cascade: {found.all_by_trees:.3f}")
    rows = [
        (
            f"{cost.share:g}",
            f"{cost.scored_by_trees:.0%}",
            f"{cost.figure:.3f}",
            f"{cost.difference:+.4f}",
            "{:+.4f} to {:+.4f}".format(*cost.ci95),
            f"{cost.speed_up:.1f}x",
        )
        for cost in found.costs
    ]
    show_table(("share", "rows in LightGBM", "NDCG@10", "difference", "95% interval", "ranker's speed-up"), rows)
