"""`recmem versions`, `promote` and `rollback`, on a database of its own and where there is none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient

import command_line
from command_line import DONE, REFUSED, WRONG_USE, Outcome
from feature_store.addresses import without_secrets
from recmem.cli.versions import DETAILS, _table, table_fits
from recmem.serving.version_table import VersionRow

TAGS = {
    "ndcg_at_10": "0.4121",
    "lift_ndcg_at_10": "0.1",
    "lift_low": "0.05",
    "lift_high": "0.15",
    "verdict": "promoted: first champion",
    "data": "9 events to 2026-03-01",
}
ROW = VersionRow(
    version="12",
    aliases=("challenger", "champion"),
    registered_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    ndcg=0.4121,
    lift=(0.1, 0.05, 0.15),
    ships="ranker_with_match",
    verdict="promoted: not worse than version 11 (+0.003)",
    by_hand="",
    data="12,345 events to 2026-03-01",
)
COMMANDS = (["versions"], ["promote", "1"], ["rollback"])


@pytest.fixture
def out(mlflow_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training run whose registry has three versions, of which 1 and 2 were champion, 2 still is."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(mlflow_template, folder / "mlflow.db")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    client.create_registered_model("recmem", tags={"champions": "1,2"})
    for tags in (TAGS, TAGS | {"verdict": "promoted: better than version 1 (+0.020)"}, {}):
        client.create_model_version("recmem", "file:///nowhere", tags=tags)
    client.set_registered_model_alias("recmem", "champion", "2")
    client.set_registered_model_alias("recmem", "challenger", "3")
    return folder


def lines(outcome: Outcome) -> list[str]:
    return [" ".join(line.split()) for line in outcome.out.splitlines()]


def test_versions_are_listed_with_alias_verdict_data_and_figures(out: Path) -> None:
    outcome = Outcome("versions", "--tracking", out)
    assert outcome.code == DONE
    rows = [line for line in lines(outcome) if line[:1].isdecimal()]
    assert [row.split()[0] for row in rows] == ["3", "2", "1"]
    assert "champion" in rows[1]
    assert rows[1].endswith(
        "promoted: better than version 1 (+0.020) 9 events to 2026-03-01 0.412 +0.100 (+0.050 to +0.150)"
    )
    assert rows[0].endswith("- -")


def test_at_80_columns_a_version_takes_one_line(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command_line.WIDE, "COLUMNS", "80")
    outcome = Outcome("versions", "--tracking", out)
    rows = [line for line in lines(outcome) if line[:1].isdecimal()]
    assert [row.split(maxsplit=1)[0] for row in rows] == ["3", "2", "1"]
    assert rows[1].startswith("2 champion 20")
    assert rows[1].endswith("promoted: better than v1 0.412 +0.100")
    assert "recmem versions --format json` has everything" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("columns", "cells"),
    [
        (
            200,
            "12|challenger, champion|2026-03-01 12:30|promoted: not worse than version 11 (+0.003)|"
            "12,345 events to 2026-03-01|0.412|+0.100 (+0.050 to +0.150)",
        ),
        (115, "12|challenger, champion|2026-03-01|promoted: not worse than version 11 (+0.003)|0.412|+0.100"),
        (100, "12|champion|2026-03-01|promoted: not worse than v11|0.412|+0.100 (+0.050 to +0.150)"),
        (80, "12|champion|2026-03-01|promoted: not worse than v11|0.412|+0.100"),
        (70, "12|champion|promoted: not worse than v11|0.412|+0.100"),
    ],
)
def test_a_narrow_table_leaves_out_what_matters_least(
    monkeypatch: pytest.MonkeyPatch, columns: int, cells: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    detail = next(each for each in DETAILS if table_fits(*_table([ROW], each)))
    assert "|".join(_table([ROW], detail)[1][0]) == cells


def test_a_short_verdict_is_what_became_of_the_version_last() -> None:
    row = replace(ROW, verdict="refused (--promote never): better than version 1", by_hand="rolled back on 2026-03-02")
    assert _table([row], DETAILS[-1])[1][0][2] == "rolled back 2026-03-02"
    assert _table([replace(row, by_hand="")], DETAILS[-1])[1][0][2] == "refused: better than v1"
    assert _table([row], DETAILS[0])[1][0][3].endswith("better than version 1; rolled back on 2026-03-02")


def test_all_figures_are_there_as_json(out: Path) -> None:
    MlflowClient(f"sqlite:///{out / 'mlflow.db'}").set_model_version_tag("recmem", "1", "verdict", "\u202egnol")
    shown = json.loads(Outcome("versions", "--tracking", out, "--format", "json").out)
    assert [row["version"] for row in shown] == ["3", "2", "1"]
    assert shown[1]["aliases"] == ["champion"]
    assert [shown[1][name] for name in ("ndcg_at_10", "lift_ndcg_at_10", "lift_low", "lift_high")] == [
        0.4121,
        0.1,
        0.05,
        0.15,
    ]
    assert shown[0]["ndcg_at_10"] is None
    assert shown[2]["verdict"] == "\u202egnol"


def test_a_lift_that_does_not_ship_is_marked(out: Path) -> None:
    tags = TAGS | {"recmem.ships": "ranker_without_match", "ships": "without text features"}
    MlflowClient(f"sqlite:///{out / 'mlflow.db'}").create_model_version("recmem", "file:///nowhere", tags=tags)
    outcome = Outcome("versions", "--tracking", out)
    assert lines(outcome)[3].endswith("0.412 +0.100 (+0.050 to +0.150)*")
    assert "* The ranker that ships does without text features." in lines(outcome)
    (newest, *_) = json.loads(Outcome("versions", "--tracking", out, "--format", "json").out)
    assert newest["ships"] == "without text features"


def test_a_version_is_promoted_by_hand_and_rolled_back_again(out: Path) -> None:
    promoted = Outcome("promote", "3", "--tracking", out)
    assert lines(promoted) == [
        "Version 3 of recmem is the champion now instead of version 2.",
        "`recmem rollback` makes version 2 the champion again.",
    ]
    again = Outcome("promote", "challenger", "--tracking", out)
    assert lines(again) == ["Version 3 of recmem is the champion already."]
    back = Outcome("rollback", "--tracking", out)
    assert lines(back) == ["Version 2 of recmem is the champion again instead of version 3."]
    listed = {line[:1]: line for line in lines(Outcome("versions", "--tracking", out))}
    assert "rolled back on 20" in listed["3"]
    assert "champion again on 20" in listed["2"]
    assert Outcome("rollback", "--tracking", out).code == DONE
    last = Outcome("rollback", "--tracking", out)
    assert (last.code, "expected a champion before version 1" in last.err) == (REFUSED, True)


def test_the_address_may_be_the_folder_the_file_or_mlflows_own(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Outcome("versions", "--tracking", out).out
    assert "promoted: first champion" in expected
    assert Outcome("versions", "--tracking", out / "mlflow.db").out == expected
    assert Outcome("versions", "--tracking", f"sqlite:///{out / 'mlflow.db'}").out == expected
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{out / 'mlflow.db'}")
    assert Outcome("versions").out == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_another_registered_name_is_refused_in_words(out: Path, command: list[str]) -> None:
    outcome = Outcome(*command, "--registered-name", "shop", "--tracking", out)
    assert outcome.code == REFUSED
    assert outcome.err.startswith("version: " if command[0] == "promote" else "--registered-name: expected a ")
    assert "shop" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("tracking", [None, "nowhere", "empty", "sqlite:///new.db"])
def test_a_failed_look_up_leaves_no_database_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], tracking: str | None
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    outcome = Outcome(*command, *([] if tracking is None else ["--tracking", tracking]))
    assert outcome.code == REFUSED
    assert outcome.err.startswith("tracking: expected MLflow's registry, got no ")
    assert [path for path in tmp_path.rglob("*") if path.name != "empty"] == []


def test_the_version_to_promote_must_be_named(out: Path) -> None:
    assert Outcome("promote", "--tracking", out).code == WRONG_USE


def test_the_password_of_a_server_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address = "http://me:hunter2@127.0.0.1:9"
    outcome = Outcome("versions", "--tracking", address)
    assert outcome.code == REFUSED
    assert without_secrets(address).rstrip("/").removeprefix("http://") in outcome.err
    assert "hunter2" not in outcome.err + outcome.out
