"""The table of what was used: counts of the small training, and what a changed run says was left out."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

import small_training
from feature_store import Receipt
from feature_store.warnings.event_kinds import EventKind
from feature_store.warnings.unmatched_ids import UnmatchedIds
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.user_profiles import UserProfiles
from recmem.text.item_vectors import ItemVectors
from training.config import TrainingConfig
from training.progress import Silent
from training.report.content import DataUse
from training.run import Run, open_run
from training.steps.data_use import data_use
from training.tables import Tables


@pytest.fixture
def run() -> Run:
    return open_run(Tables(), small_training.trained() / "run", None, TrainingConfig(), Silent())


def rows(run: Run) -> dict[str, DataUse]:
    return {use.data: use for use in data_use(run)}


def test_everything_of_a_clean_log_is_used(run: Run) -> None:
    found = rows(run)
    assert {name: use.used for name, use in found.items()} == {
        "items": "21, all of which can be ranked",
        "item texts": "title, section: read as the item's text",
        "item attributes": "none: no numeric column",
        "events": "180 of 30 users",
        "positive events": "180 depends: what is to be ranked first; remembered",
        "impressions": "none: a query ranks the whole catalogue",
        "queries of the test period": found["queries of the test period"].used,
    }
    assert int(found["queries of the test period"].used) > 0
    assert {use.not_used for use in found.values()} == {""}


def test_what_was_left_out_is_counted_with_its_reason(run: Run) -> None:
    receipts = (Receipt("events", 200, 180, 0, 20, 1, {"timestamp: not a time": 20}),)
    kinds = (EventKind("buy", 150, 150, 0, 0, "common"), EventKind("refund", 30, 0, 0, 30, "common"))
    unused = ("items.url", "events.session_id")
    run.intake = replace(run.intake, receipts=receipts, kinds=kinds, unused=unused)
    run.training_data = replace(run.training_data, events_of_unknown_items=4)
    run.config = replace(run.config, test_queries=3)
    found = rows(run)
    assert found["events"].not_used == (
        "20 rows were rejected (timestamp: not a time); 4 name an item that the items table lacks; "
        "session_id: no step reads it"
    )
    assert found["item texts"].not_used == "url: no words to read: links, dates or codes"
    assert found["positive events"].used == "150 buy: what is to be ranked first; remembered"
    assert found["other events"].used == "30 refund: negative, not remembered"
    assert found["queries of the test period"].used == "3"
    assert "evenly spread: test_queries is 3" in found["queries of the test period"].not_used


def test_names_of_events_are_not_all_listed(run: Run) -> None:
    kinds = tuple(EventKind(f"kind {n}", 9 - n, 9 - n, 0, 0, "named") for n in range(8))
    run.intake = replace(run.intake, kinds=kinds)
    assert rows(run)["positive events"].used.startswith("9 kind 0, 8 kind 1, ")
    assert "4 kind 5, 2 more names: what is" in rows(run)["positive events"].used


def test_impressions_are_used_with_the_features_that_were_named(run: Run) -> None:
    shown = pl.DataFrame({"user_id": ["curl"] * 5, "item_id": ["libssl-dev"] * 5, "ctr": [0.1] * 5})
    run.training_data = replace(run.training_data, dataset=replace(run.training_data.dataset, impressions=shown))
    unknown = UnmatchedIds("impressions.item_id", "items.item_id", 7, 2, 1, ("'x'",), ())
    run.intake = replace(run.intake, unmatched=(unknown,), unused=("impressions.position",))
    run.config = replace(run.config, features=("ctr",))
    found = rows(run)
    assert found["impressions"] == DataUse(
        "impressions",
        "5 rows: what each query ranks",
        "2 rows name an unknown item; position: --features makes it a feature of the ranker",
    )
    assert found["own features"].used == "ctr (--features)"


def test_vectors_stand_in_for_texts(run: Run) -> None:
    vectors = ItemVectors.empty("clip", 8)
    run.training_data = replace(run.training_data, vectors=vectors)
    found = rows(run)
    assert found["item vectors"] == DataUse("item vectors", "clip, of 8 numbers: what the match reads")
    assert found["item texts"] == DataUse("item texts", "none", "title, section: vectors stand in for texts")


def test_users_are_used_with_their_attributes_and_interests(run: Run) -> None:
    dataset = run.training_data.dataset
    users = pl.DataFrame({"user_id": ["curl", "vlc"], "timestamp": None, "available_at": None, "age": [30, 40]})
    config = replace(dataset.config, user_features=(CandidateFeature("age"),), interests="likes")
    described = replace(dataset, config=config, profiles=UserProfiles.of(users))
    run.training_data = replace(run.training_data, dataset=described)
    run.intake = replace(run.intake, unused=("users.town",))
    assert rows(run)["users"] == DataUse(
        "users",
        "2; age: features of the ranker; likes: compared with the items' texts",
        "town: no step reads it",
    )
