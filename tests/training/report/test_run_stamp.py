from __future__ import annotations

import re
from dataclasses import replace

import mlflow

import small_training
from training.report.run_stamp import PLACE, RunStamp, stamped

STAMP = RunStamp(
    finished_at="2026-11-28T14:50:31+00:00",
    duration_s=252.4,
    reused=("ingest", "encode"),
    model="shop, version 7",
    registration="The champion is version 6.",
    verdict="refused: worse than version 6 (cold items -0.200)",
    run_id="0a1b",
    run_url="http://127.0.0.1:5000/#/experiments/1/runs/0a1b",
    server_command="mlflow ui --backend-store-uri sqlite:///run/mlflow.db",
)


def test_the_page_gets_date_duration_version_verdict_and_link_at_its_place() -> None:
    page = stamped(f"<main>{PLACE}</main>", STAMP)
    assert page.startswith("<main><dl")
    for shown in (
        "2026-11-28 14:50 UTC",
        "4 min 12 s",
        "reused from an earlier run: ingest, encode",
        "shop, version 7<small>The champion is version 6.</small>",
        "Refused: worse than version 6 (cold items -0.200)",
        '<a href="http://127.0.0.1:5000/#/experiments/1/runs/0a1b">0a1b</a>',
        "after <code>mlflow ui --backend-store-uri sqlite:///run/mlflow.db</code>",
    ):
        assert shown in page, shown


def test_reused_steps_of_an_ablation_are_counted() -> None:
    reused = ("encode", "ablation reference match", "ablation reference", "rank")
    page = stamped(PLACE, replace(STAMP, reused=reused))
    assert "reused from an earlier run: encode, rank, 2 steps of the ablation<" in page


def test_what_there_is_none_of_is_left_out() -> None:
    page = stamped(PLACE, replace(STAMP, reused=(), run_url="", server_command=""))
    assert "<a " not in page
    assert "reused" not in page
    assert "after" not in page
    assert "<dd>0a1b" in page


def test_names_are_escaped() -> None:
    assert "<script" not in stamped(PLACE, replace(STAMP, model="<script>alert(1)</script>", run_url='"><script>'))


def test_the_report_of_a_training_names_its_version_its_run_and_its_own_command() -> None:
    folder = small_training.trained()
    page = (folder / "run" / "report.html").read_text()
    assert "recmem, version 1<small>It is the champion.</small>" in page
    assert "Promoted: first champion" in page
    assert re.search(r"<dt>Date</dt><dd>20\d\d-\d\d-\d\d", page)
    assert re.search(r"<dt>Duration</dt><dd>[\d a-z]+ s", page)
    assert f"--events {folder / 'tables' / 'events.parquet'} \\" in page
    run_id = re.search(r"runs/([0-9a-f]{32})\"", page)
    assert run_id is not None
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'run' / 'mlflow.db'}")
    assert client.get_model_version("recmem", "1").run_id == run_id[1]
    assert PLACE not in page
