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
    from training.evaluation.cascade import SHARES, price_of_cascade

    loaded = recmem.load(model, store=store)
    with Bars().stage("Ranking with cascades", len(SHARES)) as advance:
        found = price_of_cascade(loaded, limit=queries, generator=np.random.default_rng(seed), on_pass=advance)
    say(f"{found.queries:,} queries after {found.test_from}; NDCG@10 without a cascade: {found.whole:.3f}")
    rows = [
        (
            f"{price.share:g}",
            f"{price.seen:.0%}",
            f"{price.figure:.3f}",
            f"{price.difference:+.4f}",
            "{:+.4f} to {:+.4f}".format(*price.ci95),
            f"{price.speed:.1f}x",
        )
        for price in found.prices
    ]
    show_table(("share", "rows in LightGBM", "NDCG@10", "difference", "95% interval", "ranker's speed-up"), rows)
