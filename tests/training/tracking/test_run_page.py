from __future__ import annotations

from pathlib import Path

import pytest

from training.tracking.run_page import run_page


def test_a_server_serves_the_page_itself_and_no_password_is_shown() -> None:
    page, command = run_page("https://ann:secret@mlflow.example/base/", "12", "0a1b")
    assert page == "https://mlflow.example/base/#/experiments/12/runs/0a1b"
    assert command == ""


def test_a_database_needs_a_command_whose_path_starts_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page, command = run_page(f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}", "1", "0a1b")
    assert page == "http://127.0.0.1:5000/#/experiments/1/runs/0a1b"
    assert command == "mlflow ui --backend-store-uri sqlite:///run/mlflow.db"
    elsewhere = f"sqlite:///{tmp_path.parent / 'other.db'}"
    assert run_page(elsewhere, "1", "0a1b")[1] == f"mlflow ui --backend-store-uri {elsewhere}"
    spaced = f"sqlite:///{tmp_path / 'my run' / 'mlflow.db'}"
    assert run_page(spaced, "1", "0a1b")[1] == "mlflow ui --backend-store-uri 'sqlite:///my run/mlflow.db'"


def test_a_database_with_a_password_is_named_by_its_variable() -> None:
    _, command = run_page("postgresql://ann:secret@db/mlflow", "1", "0a1b")
    assert command == 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'


@pytest.mark.parametrize("uri", ["databricks", "databricks://profile"])
def test_databricks_has_pages_of_other_addresses(uri: str) -> None:
    assert run_page(uri, "1", "0a1b") == ("", "")
