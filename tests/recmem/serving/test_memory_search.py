"""What of a memory bears on a question: the cosines of an oracle, as of a time, one row per item."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from debian_model import encoder, model_of, sample, trained_model
from feature_store import DataError
from recmem.matching.user_memory import MemoryConfig
from recmem.serving.model import Model
from tolerances import close

QUESTION = "How do I open an encrypted network connection?"


@pytest.fixture(scope="module")
def user() -> str:
    return str(trained_model().events["user_id"].mode().sort()[0])


def test_the_most_similar_items_come_first_with_the_cosines_of_the_encoder(model: Model, user: str) -> None:
    memory = model.memory(user)
    found = model.search_memory(user, QUESTION, k=50, negatives=True)
    assert set(found["item_id"]) == set(memory["item_id"])
    vectors = encoder().encode([QUESTION, *found["text"]]).double()
    close(found["similarity"].to_numpy(), (vectors[1:] @ vectors[0]).numpy(), "grid")
    assert found["similarity"].is_sorted(descending=True)
    assert "libssl-dev" in found["item_id"].head(2)
    newest = memory.group_by("item_id", maintain_order=True).agg(pl.all().first(), n=pl.len())
    joined = found.join(newest, on="item_id", suffix="_newest")
    for name in ("timestamp", "kind", "visits_ago", "title"):
        assert joined[name].equals(joined[f"{name}_newest"], check_names=False), name
    assert joined["n_events"].to_list() == joined["n"].to_list()


def test_contributions_are_parts_of_the_questions_raw_match_score(model: Model, user: str) -> None:
    parts = model.search_memory(user, QUESTION, k=50, negatives=True)["contribution"]
    scored = model.match_texts(user, [QUESTION], explain=1)
    base = float(scored["reasons"].str.json_path_match("$.match_raw[0].contribution")[0])
    close(parts.sum() + base, scored["match_raw"][0], "explanation")


def test_what_the_user_disliked_comes_only_if_asked_for(model: Model) -> None:
    kinds = {}
    for name in trained_model().events["user_id"].unique().sort().head(30):
        for negatives in (False, True):
            found = model.search_memory(name, QUESTION, k=50, negatives=negatives)
            kinds.setdefault(negatives, set()).update(found["kind"])
    assert kinds == {False: {"positive", "neutral"}, True: {"positive", "neutral", "negative"}}


def test_a_memory_that_leaves_negative_events_out_has_none_to_find(user: str) -> None:
    model = model_of(trained_model().events, memory=MemoryConfig(recent=20))
    assert "negative" not in set(model.memory(user)["kind"])
    assert len(model.search_memory(user, QUESTION))
    with pytest.raises(DataError, match=r"^negatives: expected a memory with negative events.*memory\.negatives=true"):
        model.search_memory(user, QUESTION, negatives=True)


def test_an_item_with_several_events_is_one_row_with_their_sum() -> None:
    items, _ = sample()
    item = items["item_id"][0]
    rows = [("ann", item, datetime(2026, month, 1, tzinfo=UTC), "depends") for month in (1, 2, 3)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row")
    model = model_of(events)
    found = model.search_memory("ann", QUESTION)
    assert found.select("item_id", "n_events", "visits_ago").rows() == [(item, 3, 0)]
    assert found["timestamp"][0] == datetime(2026, 3, 1, tzinfo=UTC)
    then = model.search_memory("ann", QUESTION, timestamp="2026-02-15")
    assert then["n_events"].to_list() == [2]
    assert then["timestamp"][0] == datetime(2026, 2, 1, tzinfo=UTC)


def test_k_and_the_least_similarity_bound_what_is_found(model: Model, user: str) -> None:
    found = model.search_memory(user, QUESTION, k=50)
    assert model.search_memory(user, QUESTION, k=2).equals(found.head(2))
    above = model.search_memory(user, QUESTION, k=50, min_similarity=0.2)
    assert above.equals(found.filter(pl.col("similarity") >= 0.2))
    assert 0 < len(above) < len(found)
    assert model.search_memory("nobody", QUESTION).is_empty()


def test_what_cannot_be_asked_is_refused(model: Model, user: str) -> None:
    with pytest.raises(DataError, match="k: expected at least 1, got 0"):
        model.search_memory(user, QUESTION, k=0)
    for wrong in (float("nan"), 1.5, True, "0.2"):
        with pytest.raises(DataError, match="min_similarity: expected a number from -1 to 1, got"):
            model.search_memory(user, QUESTION, min_similarity=wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="text: expected text, got 7"):
        model.search_memory(user, 7)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="got null or no words"):
        model.search_memory(user, " ")
