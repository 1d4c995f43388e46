"""`recmem staleness`: what stale memories and counters cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import Bars, say, show_table
from recmem.cli.options import ModelSource, Seed, StorePath, TestQueries
from training.cli.measured_model import model_to_measure


def staleness(
    model: ModelSource,
    store: StorePath = None,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write staleness.json and staleness.png to this folder.")
    ] = None,
    queries: TestQueries = 1000,
    seed: Seed = 0,
) -> None:
    """Measure what stale features cost.

    Ranks the queries after the training data with memories, counters or both as they were 5 minutes, 1 hour, 1 day and
    1 week earlier, and shows the change of NDCG@10. If the model was refitted on the whole log, the one that was
    measured is taken: OUT/measured_bundle beside OUT/bundle.
    """
    import numpy as np

    from training.evaluation.staleness_cost import DELAYS, STALE_PARTS, staleness_cost

    loaded = model_to_measure(model, store)
    with Bars().stage("Ranking with stale features", len(DELAYS) * len(STALE_PARTS)) as advance:
        found = staleness_cost(loaded, limit=queries, generator=np.random.default_rng(seed), on_pass=advance)
    say(f"{found.queries:,} queries after {found.test_from}; NDCG@10 with fresh features: {found.fresh:.3f}.")
    rows = [
        (p.stale, p.delay, f"{p.figure:.3f}", f"{p.difference:+.3f}", "{:+.3f} to {:+.3f}".format(*p.ci95))
        for p in sorted(found.costs, key=lambda cost: STALE_PARTS.index(cost.stale))
    ]
    show_table(("stale features", "age", "NDCG@10", "difference", "95% interval"), rows, n_words=2)
    if out is not None:
        from feature_store.atomic_files import write_bytes_atomically, write_text_atomically
        from training.report.figure_files import to_png
        from training.report.plots import staleness_figure

        out.mkdir(parents=True, exist_ok=True)
        write_text_atomically(out / "staleness.json", found.to_json())
        write_bytes_atomically(out / "staleness.png", to_png(staleness_figure(found)))
        say(f"Wrote {out / 'staleness.json'} and {out / 'staleness.png'}.")
