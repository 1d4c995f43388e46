"""`python -m benchmarks.scale EVENTS`: time, by step, and peak memory of one training on a synthetic log of that size.

The log has the shape of a shop's: a user has 20 events on average over two years, in visits of a few; items are drawn
by popularity (Zipf) from the themes that a user prefers, and each item's text names its theme among random words. So
the match has something to learn. What is measured is cost, not quality.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from benchmarks.command import run_command
from benchmarks.timing import Row, write

METHOD = (
    "`recmem train` with its defaults, in a process of its own, on a synthetic log; the whole and each step as MLflow "
    "has timed it. The peak is the process's greatest resident set. Texts of 20 words, encoded by all-MiniLM-L6-v2."
)
EVENTS_PER_USER = 20
ITEMS = {10_000: 500, 1_000_000: 20_000, 10_000_000: 50_000}
"""Items by number of events; other sizes take the square root of twenty times the events."""
N_THEMES, THEMES_PER_USER, N_WORDS, WORDS_PER_TEXT = 40, 2, 5_000, 20
SPAN_S = 2 * 365 * 86_400


def write_log(folder: Path, n_events: int) -> tuple[Path, Path]:
    """`items.parquet` and `events.parquet` of a synthetic log."""
    rng = np.random.default_rng(0)
    n_items = ITEMS.get(n_events, int((20 * n_events) ** 0.5))
    n_users = max(n_events // EVENTS_PER_USER, 1)
    items = folder / "items.parquet"
    events = folder / "events.parquet"

    item_theme = rng.integers(0, N_THEMES, n_items)
    words = rng.integers(0, N_WORDS, (n_items, WORDS_PER_TEXT - 1))
    titles = [
        " ".join([f"theme{theme}", *(f"word{word}" for word in row)])
        for theme, row in zip(item_theme, words, strict=True)
    ]
    pl.DataFrame({"item_id": np.arange(n_items), "title": titles}).write_parquet(items)

    # Within a theme the k-th item is drawn in proportion to 1 / k.
    user_rows = np.sort(rng.integers(0, n_users, n_events))
    preferred = rng.integers(0, N_THEMES, (n_users, THEMES_PER_USER))
    theme = preferred[user_rows, rng.integers(0, THEMES_PER_USER, n_events)]
    item_rows = np.empty(n_events, np.int64)
    for number in range(N_THEMES):
        of_theme = np.flatnonzero(item_theme == number)
        weight = 1 / np.arange(1, len(of_theme) + 1)
        drawn = theme == number
        item_rows[drawn] = rng.choice(of_theme, drawn.sum(), p=weight / weight.sum())
    # Visits of three events on average share a time.
    visit = np.cumsum(rng.random(n_events) < 1 / 3)
    visit_time = rng.integers(0, SPAN_S, visit[-1] + 1)
    times = pl.Series(1_700_000_000 + visit_time[visit]) * 1_000_000
    pl.DataFrame({"user_id": user_rows, "item_id": item_rows, "timestamp": times.cast(pl.Datetime("us", "UTC"))}).sort(
        "timestamp"
    ).write_parquet(events)
    return items, events


def step_seconds(out: Path) -> dict[str, float]:
    """Seconds of each step of the run in `out`, from MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time ASC"])
    steps = [run for run in runs if "recmem.step" in run.data.tags]
    return {run.data.tags["recmem.step"]: (run.info.end_time - run.info.start_time) / 1000 for run in steps}


def measure(n_events: int) -> tuple[float, float, dict[str, float]]:
    """Seconds of a whole training, its peak memory in bytes, and the seconds of each step."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        items, events = write_log(folder, n_events)
        out = folder / "run"
        done = run_command(["train", "--items", str(items), "--events", str(events), "--out", str(out)])
        return done.seconds, done.peak_bytes, step_seconds(out)


def main() -> None:
    rows = []
    for n_events in map(int, sys.argv[1:] or ["10000"]):
        seconds, peak, steps = measure(n_events)
        shape = f"{n_events:,} events"
        rows.append(Row("training", shape, "recmem train", seconds, "s", 1.0, f"peak {peak / 1e9:.2f} GB"))
        rows += [Row("training", shape, f"step {step}", taken, "s", taken / seconds) for step, taken in steps.items()]
    print(write("scale", rows, METHOD).read_text())


if __name__ == "__main__":
    main()
