"""`recmem staleness`: what stale memories and counters cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import Bars, say, show_table
from recmem.cli.options import ModelSource, StorePath


def staleness(
    model: ModelSource,
    store: StorePath = None,
    out: Annotated[
        Path | None, typer.Option(help="Write staleness.json and staleness.png to this folder.", show_default="none")
    ] = None,
    queries: Annotated[
        int, typer.Option(min=1, help="Test queries to rank, at most, spread evenly over the test period.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the bootstrap intervals and for breaking ties.")] = 0,
) -> None:
    """Measure the NDCG cost of stale features.

    Ranks the queries after the training period with memories, counters or both as they were 5 minutes to a week
    earlier.
    """
    import numpy as np

    import recmem
    from training.evaluation.staleness import DELAYS, STALE, price_of_staleness

    loaded = recmem.load(model, store=store)
    with Bars().stage("Ranking with stale feeds", len(DELAYS) * len(STALE)) as advance:
        found = price_of_staleness(loaded, limit=queries, generator=np.random.default_rng(seed), on_pass=advance)
    say(f"{found.queries:,} queries after {found.test_from}; NDCG@10 with fresh features: {found.fresh:.3f}")
    rows = [
        (p.stale, p.delay, f"{p.figure:.3f}", f"{p.difference:+.3f}", "{:+.3f} to {:+.3f}".format(*p.ci95))
        for p in sorted(found.prices, key=lambda price: STALE.index(price.stale))
    ]
    show_table(("stale features", "age", "NDCG@10", "difference", "95% interval"), rows, n_words=2)
    if out is not None:
        from training.report.plots import staleness_figure, to_png

        out.mkdir(parents=True, exist_ok=True)
        (out / "staleness.json").write_text(found.to_json(), encoding="utf-8")
        (out / "staleness.png").write_bytes(to_png(staleness_figure(found)))
        say(f"Wrote {out / 'staleness.json'} and {out / 'staleness.png'}")
