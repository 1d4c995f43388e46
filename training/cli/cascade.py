"""`recmem cascade`: the loss in NDCG and the speed-up if LightGBM re-ranks only the best candidates."""

from __future__ import annotations

from recmem.cli.console import Bars, say, show_table
from recmem.cli.options import ModelSource, Seed, StorePath, TestQueries
from training.cli.measured_model import model_to_measure


def cascade(
    model: ModelSource,
    store: StorePath = None,
    queries: TestQueries = 1000,
    seed: Seed = 0,
) -> None:
    """Measure what --trees-share costs.

    With `recmem score --trees-share`, the linear blend of the features scores all candidates of a query, and LightGBM
    re-ranks only the best of them. This ranks the queries after the training data with shares of 0.5, 0.2, 0.1 and 0
    (the 20 best), and shows the loss in NDCG@10 and the speed-up of each. If the model was refitted on the whole log,
    the one that was measured is taken: OUT/measured_bundle beside OUT/bundle.
    """
    import numpy as np

    from training.evaluation.cascade_cost import TREE_SHARES, cascade_cost

    loaded = model_to_measure(model, store)
    with Bars().stage("Ranking with cascades", len(TREE_SHARES)) as advance:
        found = cascade_cost(loaded, limit=queries, generator=np.random.default_rng(seed), on_pass=advance)
    say(f"{found.queries:,} queries after {found.test_from}; NDCG@10 without a cascade: {found.all_by_trees:.3f}.")
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
    show_table(("share", "rows in LightGBM", "NDCG@10", "difference", "95% interval", "ranker speed-up"), rows)
