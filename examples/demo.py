"""What `make demo` runs: train on the sample, show the lift, and explain recommendations.

Which package will a software project depend on next? Users are source packages of Debian, items are the packages that
they need to build. Results are written to `runs/demo`; a second run skips the steps that have not changed.
"""

from __future__ import annotations

import os
from pathlib import Path

import mlflow

import recmem
from recmem.cli.console import Bars, say, show_table
from training.cli.train import how_to_open
from training.config import TrainingConfig
from training.evaluation.ledger import Ledger
from training.pipeline import run_training
from training.report.terminal import show_ledger
from training.tracking.experiment import database_uri

SAMPLE = Path(__file__).parent / "debian_dependencies"
OUT = Path("runs/demo")
PROJECTS = ("curl", "inkscape", "nmap")
"""Users whose recommendations are shown: a transfer library, a drawing program, a network scanner."""
N_TOP = 5


def main() -> None:
    store = str(OUT / "store")
    result = run_training(
        items=str(SAMPLE / "items.parquet"),
        events=str(SAMPLE / "events.parquet"),
        impressions=None,
        out=OUT,
        store=store,
        config=TrainingConfig(),
        progress=Bars(),
    )
    say("\nWhat the text features add\n", style="bold")
    show_ledger(Ledger.from_json((OUT / "ledger.json").read_text()))

    model = recmem.load(champion() or result.bundle, store=store)
    say("\nRecommended dependencies for three projects, and why", style="bold")
    for project in PROJECTS:
        show_reasons(model, project)

    say(f"\nReport: {result.report}")
    say(f"Open the results: {how_to_open(OUT)}")


def champion() -> str | None:
    """The registered champion, if there is one."""
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or database_uri(OUT))
    found = mlflow.MlflowClient().search_registered_models("name = 'recmem'")
    return "models:/recmem@champion" if found and "champion" in found[0].aliases else None


def show_reasons(model: recmem.Model, project: str) -> None:
    """Prints the top items of a project, each with its reason."""
    best = model.recommend([project], k=N_TOP)
    rows = [
        [row["item_id"], model.explain(project, row["item_id"]).reason(), f"{row['score']:.2f}"]
        for row in best.iter_rows(named=True)
    ]
    show_table((project, "reason", "score"), rows, n_words=2)


if __name__ == "__main__":
    main()
