"""Which store a model reads: the caller's before the one that it was trained on, and none if there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from debian_model import trained_model
from feature_store import DataError, Store
from feature_store.point_in_time.covisitation import Covisitation
from recmem.serving.model import Model
from recmem.serving.model_store import open_store, read_tables


def test_the_callers_store_comes_before_that_of_the_training(tmp_path: Path) -> None:
    own = Store.create(tmp_path / "own")
    trained = str(trained_model().store)
    for given in (own, tmp_path / "own", str(tmp_path / "own")):
        opened = open_store(given, trained=trained)
        assert opened is not None
        assert opened.path == own.path
    opened = open_store(None, trained=trained)
    assert opened is not None
    assert opened.path == trained


def test_a_store_that_has_moved_is_reported_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"store: expected the store that the model was trained on, got none at"):
        open_store(None, trained=str(tmp_path / "moved"))


def test_without_a_store_the_tables_are_empty() -> None:
    assert open_store(None, trained=None) is None
    items, events, impressions, changes = read_tables(None)
    assert "item_id" in items.columns
    assert {"user_id", "item_id", "timestamp"} <= set(events.columns) & set(impressions.columns)
    assert items.is_empty()
    assert events.is_empty()
    assert impressions.is_empty()
    assert changes.is_empty()


def test_scores_with_kept_item_item_models_are_those_with_fitted_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = Path(shutil.copytree(trained_model().store, tmp_path / "store", ignore=shutil.ignore_patterns("derived")))
    rows = (
        trained_model()
        .events.select("user_id")
        .unique()
        .sort("user_id")
        .join(trained_model().items.select("item_id"), how="cross")
    )
    fitted = Model.load(trained_model().bundle, store=copied).rank(rows)
    monkeypatch.setattr(Covisitation, "fit", lambda *_: pytest.fail("fitted"))
    assert Model.load(trained_model().bundle, store=copied).rank(rows).equals(fitted)
    monkeypatch.undo()
    in_memory = Model.load(trained_model().bundle, store=copied)
    in_memory.dataset.timeline.cache = None
    assert in_memory.rank(rows).equals(fitted)


def test_loading_warns_of_dates_that_do_not_move_the_clock(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained_model().model()
    assert "clock" not in caplog.text
    copied = Path(shutil.copytree(trained_model().store, tmp_path / "store"))
    Store.open(copied).append_events(trained_model().events.head(1).with_columns(timestamp=pl.lit("2099-01-01")))
    Model.load(trained_model().bundle, store=copied)
    assert "1 of the log's changes lie far ahead of the others and of the present" in caplog.text
