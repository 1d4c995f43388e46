"""Observed events: from then on all answers are as if the store held them too."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from debian_model import model_of, trained_model
from feature_store import DataError, Store
from recmem.serving.model import Model


@pytest.mark.parametrize("seed", range(4))
def test_observing_equals_a_rebuild_exactly(seed: int, candidates: pl.DataFrame) -> None:
    events = trained_model().events.sample(fraction=1.0, shuffle=True, seed=seed)
    if seed % 2:
        events = events.sort("timestamp")
    n_first = len(events) * 3 // 4
    model = model_of(events.head(n_first))
    rebuilt = model_of(events)
    model.rank(candidates)  # fits the item-item models, which must not outlive what they were fitted on
    model.rank(candidates.drop("timestamp"))
    receipt = model.observe(events.tail(len(events) - n_first))
    assert (receipt.n_new, receipt.n_rejected) == (len(events) - n_first, 0)
    assert model.rank(candidates).equals(rebuilt.rank(candidates))
    assert model.rank(candidates.drop("timestamp")).equals(rebuilt.rank(candidates.drop("timestamp")))
    users = events["user_id"].unique().sort().head(6)
    assert model.recommend(users).equals(rebuilt.recommend(users))
    assert model.memory(users[0]).equals(rebuilt.memory(users[0]))


def test_observing_equals_the_events_in_the_store_and_writes_nothing(tmp_path: Path, candidates: pl.DataFrame) -> None:
    copied = Path(shutil.copytree(trained_model().store, tmp_path / "store"))
    model = Model.load(trained_model().bundle, store=copied)
    versions = Store.open(copied).versions()
    new = pl.DataFrame(
        {
            "user_id": ["newcomer", "newcomer", "newcomer", None],
            "item_id": [*trained_model().items["item_id"].head(2), "unheard-of", "x"],
            "timestamp": ["2027-06-01", "2027-06-02T10:00", "2027-06-02", "2027-06-03"],
        }
    )
    observed = model.observe(pl.concat([new, new.head(1)]))
    assert Store.open(copied).versions() == versions
    kept = Store.open(copied).append_events(pl.concat([new, new.head(1)]))
    assert (observed.n_in, observed.n_new, observed.n_duplicate, observed.n_rejected) == (5, 3, 1, 1)
    assert (kept.n_in, kept.n_new, kept.n_duplicate, kept.n_rejected) == (5, 3, 1, 1)
    assert observed.reasons == kept.reasons
    rebuilt = Model.load(trained_model().bundle, store=copied)
    assert model.rank(candidates.drop("timestamp")).equals(rebuilt.rank(candidates.drop("timestamp")))
    assert model.memory("newcomer").equals(rebuilt.memory("newcomer"))
    assert model.memory("newcomer")["item_id"].to_list() == new["item_id"].head(2).to_list()[::-1]


def test_observing_the_same_again_changes_nothing(candidates: pl.DataFrame) -> None:
    model = trained_model().model()
    before = model.rank(candidates)
    receipt = model.observe(trained_model().events)
    assert (receipt.n_new, receipt.n_duplicate) == (0, len(trained_model().events))
    assert model.rank(candidates).equals(before)


def test_events_that_cannot_be_read_are_refused(model: Model) -> None:
    with pytest.raises(DataError, match=r"events.timestamp: expected the column"):
        model.observe(pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}))


def test_observed_events_of_unknown_items_are_kept_and_told() -> None:
    model = trained_model().model()
    known = trained_model().items["item_id"][0]
    rows = pl.DataFrame(
        {"user_id": ["new"] * 3, "item_id": [known, f"{known} ", "gone"], "timestamp": ["2026-06-01"] * 3}
    )
    receipt = model.observe(rows)
    assert (receipt.n_new, receipt.n_rejected) == (3, 0)
    (warning,) = receipt.warnings
    assert warning.startswith("item_id: 2 of 3 rows are unmatched: the items that were loaded lack theirs, such as ")
    assert repr(f"{known} ") in warning
    assert model.observe(rows.head(1)).warnings == ()


def test_one_event_dated_2099_changes_no_score_and_gives_a_warning(candidates: pl.DataFrame, tmp_path: Path) -> None:
    plain = candidates.drop("timestamp")
    model = trained_model().model()
    before = model.rank(plain)
    wrong = trained_model().events.head(1).with_columns(timestamp=pl.lit("2099-01-01"), available_at=None)
    receipt = model.observe(wrong)
    assert receipt.n_new == 1
    assert any("rows lie after the present, e.g. row 0: 2099-01-01" in warning for warning in receipt.warnings)
    assert model.rank(plain).equals(before)
    user = wrong["user_id"][0]
    assert model.memory(user)["timestamp"].dt.year().max() != 2099
    assert model.memory(user, timestamp="2100-01-01")["timestamp"].dt.year().max() == 2099
    copied = Path(shutil.copytree(trained_model().store, tmp_path / "store"))
    Store.open(copied).append_events(wrong)
    assert Model.load(trained_model().bundle, store=copied).rank(plain).equals(before)


def test_one_star_without_an_event_is_remembered_as_negative_in_tables_and_when_observed(tmp_path: Path) -> None:
    items = trained_model().items["item_id"].head(3)
    rows = pl.DataFrame(
        {"user_id": ["new"] * 3, "item_id": items, "timestamp": ["2027-06-01", "2027-06-02", "2027-06-03"]}
    ).with_columns(value=pl.Series([1.0, 3.0, 5.0]))
    model = trained_model().model()
    receipt = model.observe(rows)
    assert model.memory("new")["kind"].to_list() == ["positive", "neutral", "negative"]
    assert any("3 of 3 rows have a value, such as 1, and no event" in warning for warning in receipt.warnings)
    copied = Path(shutil.copytree(trained_model().store, tmp_path / "store"))
    assert Store.open(copied).append_events(rows).warnings == receipt.warnings
    assert Model.load(trained_model().bundle, store=copied).memory("new").equals(model.memory("new"))
    named = rows.with_columns(event=pl.lit("purchase"), user_id=pl.lit("other"))
    model.observe(named)
    assert set(model.memory("other")["kind"]) == {"positive"}
