"""`recmem cascade`: what it costs, and gains, when the trees look at the best candidates only."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.console import Bars, say, show_table
from recmem.cli.score import ModelSource, StorePath


def cascade(
    model: ModelSource,
    store: StorePath = None,
    queries: Annotated[int, typer.Option(min=1, help="Queries of the test period, at most; evenly spread.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals, and of how ties are broken.")] = 0,
) -> None:
    """What it costs, and gains, when LightGBM looks at the best candidates only.

    Ranks what came after the model's training by the linear blend of the columns, and only the best share of each
    query's candidates by the trees too: the price of `recmem score --trees-share`.
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
    show_table(("share", "rows seen", "NDCG@10", "difference", "95% interval", "ranker's speed"), rows)
