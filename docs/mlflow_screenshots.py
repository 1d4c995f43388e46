"""Pictures of MLflow's pages for the documentation: `make screenshots`.

Trains three times on a part of the sample data, tracked by an MLflow server that it starts: takes some minutes.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Page

import recmem
from chromium import chromium
from mlflow_server import mlflow_server
from recmem.serving.champions import REGISTERED_NAME

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
DATA = ROOT / "examples" / "debian_dependencies"
SHARE_OF_USERS = 4
"""Every so manieth."""
TRAININGS: list[dict[str, object]] = [{}, {"ranker.leaves": 7}, {"ranker.leaves": 7, "ranker.learning_rate": 0.05}]
"""Settings of the runs that are compared."""
COLUMNS = {
    "metrics.`lift/ndcg_at_10`": 130,
    "metrics.`lift_low/ndcg_at_10`": 160,
    "metrics.`lift_high/ndcg_at_10`": 165,
    "metrics.`ndcg_at_10/ranker_with_match`": 230,
    "params.`learning_rate`": 110,
    "params.`num_leaves`": 100,
    "tags.`recmem.verdict`": 310,
}
"""What the list of runs shows beside names and times, and how wide, in pixels."""
LIST = {
    "searchFilter": "tags.`recmem.run` = 'training'",
    "orderByKey": "attributes.start_time",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "selectedColumns": list(COLUMNS),
    "columnOrder": [],
    "columnWidths": {},
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "runsVisibilityMap": {},
    "runsHiddenMode": "FIRST_10_RUNS",
    "viewMaximized": False,
    "runListHidden": False,
    "isAccordionReordered": False,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupBy": None,
    "groupsExpanded": {},
    "autoRefreshEnabled": True,
    "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
}
"""What MLflow's pages keep in the browser for a list of runs."""
WIDTH = 2040
"""Of the list, in pixels; other pages have columns that grow with it."""
HEIGHTS = {"mlflow_runs.png": 420, "mlflow_run.png": 860, "mlflow_version.png": 800}
SETTLED_MS = 5000
"""After which a page has loaded what it shows beside the text that was waited for."""
COLOURS = 128
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
def browser_page(experiment: str) -> Iterator[Page]:
    """An empty page of the system's Chromium, set up as somebody would who looks at this experiment's trainings."""
    kept = {
        f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment}"]-ReactComponentState': json.dumps(LIST),
        "mlflow.workflowType_v1": json.dumps("machine_learning"),
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
        "mlflow.assistant.panelOpen_v1": "false",
    }
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.add_init_script(f"Object.entries({json.dumps(kept)}).forEach(([k, v]) => localStorage.setItem(k, v))")
        yield page


def save(page: Page, name: str) -> None:
    """The visible part of the page as `docs/images/<name>`, with few colours."""
    page.wait_for_timeout(SETTLED_MS)
    # The button of MLflow's assistant lies over what is below it.
    page.add_style_tag(content="button:has(svg linearGradient) { visibility: hidden }")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
    print(f"docs/images/{name}: {(IMAGES / name).stat().st_size / 1000:.0f} kB")


def widen(page: Page) -> None:
    """Drags the columns to their widths: MLflow does not read those that it has kept."""
    for column, width in {"attributes.`Run Name`": 250, **COLUMNS}.items():
        header = page.locator(".ag-header-cell", has_text=column.split("`")[1]).first.bounding_box()
        if header is None:
            sys.exit(f"columns: expected {column} in the list of runs, got none. Has MLflow's page changed?")
        border = header["x"] + header["width"] - 2
        middle = header["y"] + header["height"] / 2
        page.mouse.move(border, middle)
        page.mouse.down()
        page.mouse.move(border + width - header["width"], middle, steps=5)
        page.mouse.up()
    page.mouse.move(0, 0)


def take_pictures(address: str) -> None:
    """The list of trainings, the newest of them, and the version that is champion."""
    client = MlflowClient(address)
    model = client.get_registered_model(REGISTERED_NAME)
    champion = client.get_model_version(REGISTERED_NAME, model.aliases["champion"])
    run = client.get_run(champion.run_id)
    experiment = run.info.experiment_id
    pages = {
        "mlflow_runs.png": (f"experiments/{experiment}/runs", run.info.run_name),
        "mlflow_run.png": (f"experiments/{experiment}/runs/{run.info.run_id}", "Registered models"),
        "mlflow_version.png": (f"models/{REGISTERED_NAME}/versions/{champion.version}", "lift_ndcg_at_10"),
    }
    with browser_page(experiment) as page:
        for name, (path, text) in pages.items():
            page.set_viewport_size({"width": WIDTH if name == "mlflow_runs.png" else 1400, "height": HEIGHTS[name]})
            page.goto(f"{address}/#/{path}")
            page.get_by_text(text).first.wait_for(state="attached")
            page.wait_for_timeout(SETTLED_MS)
            if name == "mlflow_runs.png":
                widen(page)
            if name == "mlflow_run.png":
                page.get_by_placeholder("Search metrics").fill("ndcg")
            if name == "mlflow_version.png":
                page.get_by_text(text).first.scroll_into_view_if_needed()
            save(page, name)


def main() -> None:
    """Trains, and takes all pictures."""
    with TemporaryDirectory() as name, mlflow_server(Path(name) / "server") as address:
        os.environ["MLFLOW_TRACKING_URI"] = address
        train(Path(name))
        take_pictures(address)


if __name__ == "__main__":
    main()
