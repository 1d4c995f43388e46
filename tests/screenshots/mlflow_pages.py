"""`python -m tests.screenshots.mlflow_pages`: the pictures of MLflow in docs/, from trainings on examples/; PYTHONPATH=.:tests.

Trains three times on a part of the sample data, tracked by an MLflow server that it starts: takes some minutes.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import recmem
from mlflow_server import mlflow_server

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DATA = ROOT / "examples" / "debian_dependencies"
SHARE_OF_USERS = 4
"""Every so manieth."""
TRAININGS: list[dict[str, object]] = [{}, {"ranker.leaves": 15}, {"ranker.leaves": 15, "ranker.learning_rate": 0.1}]
"""Settings of the runs that are compared."""
COLUMNS = {
    "Metrics": ("lift/ndcg_at_10", "lift_low/ndcg_at_10", "lift_high/ndcg_at_10", "ndcg_at_10/ranker_with_match"),
    "Parameters": ("learning_rate", "num_leaves"),
    "Tags": ("recmem.verdict", "recmem.version"),
}
"""What the list of runs shows beside names and times."""
SIZE = {"width": 1500, "height": 640}
COLOURS = 64
"""Of a picture's palette: pages are plain, and a picture is then a few tens of kilobytes."""


def train(folder: Path) -> None:
    """The trainings that the pictures show, tracked where MLflow's variables say."""
    data = folder / DATA.name
    data.mkdir()
    events = pl.read_parquet(DATA / "events.parquet")
    events.filter(pl.col("user_id").hash(seed=0) % SHARE_OF_USERS == 0).write_parquet(data / "events.parquet")
    shutil.copy(DATA / "items.parquet", data)
    for settings in TRAININGS:
        result = recmem.train(
            data / "items.parquet", data / "events.parquet", out=folder / "run", config={"refit": False, **settings}
        )
        print(result.registration)


@contextmanager
def browser_page() -> Iterator[Page]:
    """An empty page of the system's Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("chromium: expected one on the path, got none. On Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport=SIZE)
            page.set_default_timeout(120_000)
            yield page
        finally:
            browser.close()


def save(page: Page, name: str) -> None:
    """The visible part of the page as `docs/<name>`, with few colours."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)
    print(f"docs/{name}: {(DOCS / name).stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Trains, and takes all pictures."""
    with TemporaryDirectory() as name, mlflow_server(Path(name) / "server") as address:
        os.environ["MLFLOW_TRACKING_URI"] = address
        train(Path(name))
        take_pictures(address)


if __name__ == "__main__":
    main()
