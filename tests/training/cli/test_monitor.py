"""`recmem monitor` on a small training: exit codes, files, MLflow, and the commands of docs/monitoring.md."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient

import small_training
from command_line import DONE, REFUSED, WRONG_USE, Outcome, write_candidates
from recmem.serving.bundle import copy_completed, load_bundle
from training.cli.monitor import ALERTED, WARNED
from training.monitoring import topics

PAGE = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text()


def bundle() -> Path:
    return small_training.trained() / "run" / "bundle"


def result(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "monitor.json").read_text())
    return found


def strangers(folder: Path, n: int = 400) -> Path:
    """Candidates of users whom nobody knows."""
    users = pl.DataFrame({"user_id": [f"stranger-{number}" for number in range(n)]})
    users.join(small_training.items().select("item_id"), how="cross").write_parquet(folder / "strangers.parquet")
    return folder / "strangers.parquet"


def test_strangers_alert_and_what_to_do_is_said(tmp_path: Path) -> None:
    called = Outcome("monitor", "--model", bundle(), "--candidates", strangers(tmp_path), "--out", tmp_path / "found")
    assert called.code == ALERTED
    assert "unknown users" in called.out
    assert "Ingest new items and events before candidates are scored." in called.out
    assert "rise 1.000 (alert from 0.2" in called.out
    found = result(tmp_path / "found")
    assert found["status"] == "alert"
    assert "unknown users" in (tmp_path / "found" / "monitor.html").read_text()


def test_fail_on_says_from_which_status_on_the_command_fails(tmp_path: Path) -> None:
    rows = strangers(tmp_path)
    arguments = ("monitor", "--model", bundle(), "--candidates", rows, "--reference", rows, "--out", tmp_path / "found")
    assert Outcome(*arguments).code == DONE
    assert result(tmp_path / "found")["status"] == "ok"
    alerts = ("monitor", "--model", bundle(), "--candidates", rows, "--out", tmp_path / "found")
    assert Outcome(*alerts, "--fail-on", "never").code == DONE
    assert Outcome(*alerts).code == ALERTED


def test_a_warning_fails_only_if_it_is_to(tmp_path: Path) -> None:
    rows = strangers(tmp_path)
    new = [pl.DataFrame({"user_id": f"stranger-{number}", "item_id": ["new-1", "new-2"]}) for number in range(400)]
    pl.concat([pl.read_parquet(rows), *new]).write_parquet(tmp_path / "more.parquet")
    # Of 23 items two are unknown: a share between the two limits. Features move too, which is not looked at here.
    features = [f"{name}=1" for name in ("ks_warn", "ks_alert")] + ["psi_alert=100", "psi_warn=100"]
    arguments = ("monitor", "--model", bundle(), "--candidates", tmp_path / "more.parquet", "--reference", rows)
    options = ("--out", tmp_path / "found", *(value for limit in features for value in ("--set", limit)))
    assert Outcome(*arguments, *options).code == DONE
    assert Outcome(*arguments, *options, "--fail-on", "warn").code == WARNED
    assert result(tmp_path / "found")["status"] == "warn"


def test_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(bundle(), tmp_path / "run" / "bundle")
    write_candidates(tmp_path)
    labels = pl.read_parquet(tmp_path / "candidates.parquet").with_columns(
        label=pl.col("item_id").str.contains("curl").cast(pl.Int8)
    )
    labels.select("user_id", "item_id", "label").write_parquet(tmp_path / "outcomes.parquet")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^    recmem (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        called = Outcome(*command.split())
        assert called.code in (DONE, WARNED, ALERTED), called.err
    found = result(tmp_path / "monitoring")
    outcomes = found["current_outcomes"]
    assert isinstance(outcomes, dict)
    assert outcomes["queries"] == 4
    assert "NDCG was not compared: the reference ranks the whole catalogue" in called.err
    assert re.search(r"NDCG@10 is 0\.\d{3} \(95% interval [\d.]+ to [\d.]+\), on 4 queries of 4 users\.", called.out)
    # The last command compares a scored file, which lacks most of what the ranker reads.
    scored = result(tmp_path / "monitoring")
    lacking = scored["not_compared"]
    assert isinstance(lacking, list)
    assert {"popularity", "unknown_users"} <= set(lacking)
    assert f"{len(lacking)} were not, since the file does not have them" in called.err
    assert f"; {len(lacking)} could not be compared." in called.out


def test_options_of_the_page_exist() -> None:
    shown = Outcome("monitor", "--help").out
    named = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert named
    assert [option for option in named if option not in shown] == []


def test_later_events_are_outcomes_and_new_events_are_compared(tmp_path: Path) -> None:
    candidates = write_candidates(tmp_path)
    dated = pl.read_parquet(candidates).with_columns(timestamp=pl.lit("2026-07-01T00:00:00Z"))
    dated.write_parquet(candidates)
    new = pl.DataFrame(
        {"user_id": ["curl", "vlc"], "item_id": ["libgtk-3-dev", "libpng-dev"], "timestamp": ["2026-06-30"] * 2}
    ).with_columns(event=pl.lit("depends"))
    new.write_parquet(tmp_path / "events.parquet")
    new.with_columns(timestamp=pl.lit("2026-07-05"), item_id=pl.lit("librsvg2-dev")).write_parquet(
        tmp_path / "later.parquet"
    )
    called = Outcome(
        *("monitor", "--model", bundle(), "--candidates", candidates, "--events", tmp_path / "events.parquet"),
        *("--outcomes", tmp_path / "later.parquet", "--out", tmp_path / "found", "--fail-on", "never"),
    )
    assert called.code == DONE, called.err
    found = result(tmp_path / "found")
    names = {each["name"] for each in found["findings"]}  # type: ignore[attr-defined]
    assert {"event", "events.first_of_user", "ndcg_at_10", "observed_to_expected"} <= names
    assert found["current"]["events"] == 2  # type: ignore[index]
    assert found["current_outcomes"]["queries"] == 2  # type: ignore[index]


def test_topics_of_new_events_are_compared_with_those_of_the_test_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test period has thirty events, of a few items.
    monkeypatch.setattr(topics, "FEWEST_EVENTS", 30)
    monkeypatch.setattr(topics, "ITEMS_PER_TOPIC", 2)
    sound = [item for item, _ in small_training.THEMES["sound"]]
    users = small_training.events()["user_id"].unique().sort().head(20)
    new = pl.DataFrame({"user_id": users}).join(pl.DataFrame({"item_id": sound[:2]}), how="cross")
    new.with_columns(timestamp=pl.lit("2026-07-05"), event=pl.lit("depends")).write_parquet(tmp_path / "new.parquet")
    arguments = ("--candidates", write_candidates(tmp_path), "--out", tmp_path / "found", "--fail-on", "never")
    options = (*arguments, "--events", tmp_path / "new.parquet", "--set", "topics=3")
    called = Outcome("monitor", "--model", bundle(), *options)
    assert called.code == DONE, called.err
    found = result(tmp_path / "found")
    listed = found["topics"]
    assert isinstance(listed, list)
    (of_sound,) = [topic for topic in listed if topic["current"] > 0.9]
    assert set(of_sound["words"]) & {"audio", "sound", "codec", "encoding"}
    assert abs(of_sound["reference"] - 1 / 3) < 0.1
    assert f"that of {', '.join(of_sound['words'])} (such as " in called.out
    assert f"topic: {', '.join(of_sound['words'])}" in called.out
    off = Outcome("monitor", "--model", bundle(), *arguments, "--events", tmp_path / "new.parquet", "--set", "topics=0")
    assert result(tmp_path / "found")["topics"] == []
    assert "topics of what users choose" not in off.out
    assert "Topics were not compared" not in off.err


def test_a_run_is_logged_where_tracking_says_so(tmp_path: Path) -> None:
    run = small_training.trained() / "run"
    arguments = ("--candidates", write_candidates(tmp_path), "--out", tmp_path / "found", "--fail-on", "never")
    shutil.copy(run / "mlflow.db", tmp_path / "mlflow.db")
    called = Outcome("monitor", "--model", bundle(), *arguments, "--tracking", tmp_path)
    assert called.code == DONE, called.err
    run_id = re.search(r"MLflow run: (\w+)", called.out)
    assert run_id is not None
    logged = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(run_id[1])
    assert logged.info.run_name == "monitor-bundle"
    assert "psi/match_raw" in logged.data.metrics
    assert not (tmp_path / "found" / "mlflow.db").exists()


def test_a_bundle_without_a_reference_says_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "old"
    copy_completed(bundle(), old, load_bundle(bundle()).config.calibration, None)
    arguments = ("--candidates", write_candidates(tmp_path), "--out", tmp_path / "found")
    called = Outcome("monitor", "--model", old, *arguments)
    assert called.code == REFUSED
    assert "expected a bundle with a reference, got one without" in called.err
    assert "give --reference" in called.err
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize("role", ["candidates", "scored", "events", "outcomes", "reference"])
def test_a_file_that_is_missing_is_named_by_its_option(role: str, tmp_path: Path) -> None:
    options = {"candidates": write_candidates(tmp_path)} if role != "scored" else {}
    options |= {role: tmp_path / "nothing.csv"}
    arguments = [part for name, path in options.items() for part in (f"--{name}", path)]
    called = Outcome("monitor", "--model", bundle(), "--out", tmp_path / "found", *arguments)
    assert called.code == REFUSED
    assert called.err.startswith(f"{role}.path: expected a file, got nothing at")


def test_new_events_beside_a_reference_without_events_are_said_not_to_be_compared(tmp_path: Path) -> None:
    rows = write_candidates(tmp_path)
    new = pl.DataFrame({"user_id": [f"new-{number}" for number in range(300)], "item_id": "libgtk-3-dev"})
    new.with_columns(timestamp=pl.lit("2026-06-30"), event=pl.lit("depends")).write_parquet(tmp_path / "new.parquet")
    arguments = ("--candidates", rows, "--reference", rows, "--events", tmp_path / "new.parquet")
    called = Outcome("monitor", "--model", bundle(), "--out", tmp_path / "found", *arguments)
    assert called.code == DONE, called.out
    assert "Names and first events were not compared: the reference has no events." in called.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--candidates, --scored: expected one of them, got neither"),
        (("--candidates", "a", "--scored", "b"), "got both"),
        (("--scored", "a", "--events", "b"), "--scored: expected no --events with it"),
        (("--candidates", "a", "--set", "psi=1"), "--set: psi: expected the name of a setting"),
    ],
)
def test_wrong_use_is_told(options: tuple[str, ...], words: str, tmp_path: Path) -> None:
    called = Outcome("monitor", "--model", bundle(), "--out", tmp_path / "found", *options)
    assert called.code == WRONG_USE
    assert words in " ".join(called.err.replace("│", " ").split())
