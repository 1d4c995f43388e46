"""`recmem memory`: what a user's memory holds, as of a time."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import small_training
from command_line import DONE, REFUSED, Outcome
from conftest import IsolatedMlflow


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


def test_memory_lists_what_the_user_has(bundle: Path) -> None:
    outcome = Outcome("memory", "--model", bundle, "--user", "curl")
    assert outcome.code == DONE, outcome.err
    has = small_training.events().filter(pl.col("user_id") == "curl")["item_id"].to_list()
    assert all(item in outcome.out for item in has)


def test_memory_as_of_a_time_holds_only_earlier_events(bundle: Path) -> None:
    mine = small_training.events().filter(pl.col("user_id") == "curl").sort("timestamp")
    third = mine["timestamp"][2].isoformat()
    outcome = Outcome("memory", "--model", bundle, "--user", "curl", "--timestamp", third)
    assert [item for item in mine["item_id"] if item in outcome.out] == mine["item_id"][:2].to_list()


def test_memory_of_an_unknown_user_says_so(bundle: Path) -> None:
    outcome = Outcome("memory", "--model", bundle, "--user", "nobody [at] all")
    assert outcome.code == DONE, outcome.err
    assert "The memory of nobody [at] all is empty" in outcome.out


def test_a_store_that_is_not_there_is_refused_in_words(bundle: Path, tmp_path: Path) -> None:
    outcome = Outcome("memory", "--model", bundle, "--user", "curl", "--store", tmp_path / "absent")
    assert outcome.code == REFUSED
    assert "expected a store, got none" in outcome.err


def test_a_model_that_the_registry_lacks_is_refused_in_words(isolated_mlflow: IsolatedMlflow) -> None:
    outcome = Outcome("memory", "--model", "models:/recmem@champion", "--user", "curl")
    assert outcome.code == REFUSED
    assert "recmem@champion" in outcome.err
