"""Facts, end to end: a log that only facts explain, the reasons they give, and what is refused."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import planted_facts
import recmem
import small_training
from conftest import IsolatedMlflow
from feature_store import DataError
from recmem.audit.parity import replay_audit
from recmem.audit.past_queries import PastQueries
from recmem.dataset.knowledge_config import KnowledgeConfig
from recmem.ranking.feature_table import FACT_FEATURES
from recmem.serving.explain import SharedFact
from recmem.serving.model import Model
from training.api import train
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH
from training.knowledge import facts_warnings, knowledge_of, slots_warnings
from training.run import TrainingResult

SMALL = {
    "match.min_steps": 1,
    "match.max_steps": 5,
    "ranker.rounds": 20,
    "tree_members": 1,
    "refit": False,
    "retrieval.candidates": 100,
}
"""Settings that make a training short: nothing is to be learned from texts here."""
FACT = ("subject", "relation", "object")
NAMES = {feature.name for feature in FACT_FEATURES}


@functools.cache
def planted() -> planted_facts.PlantedFacts:
    return planted_facts.planted_facts()


@functools.cache
def trained() -> TrainingResult:
    """A training with the facts, made once per process."""
    out = tempfile.mkdtemp(prefix="recmem-facts-")
    vectors = planted_facts.random_vectors(planted().items)
    log = planted()
    return train(log.items, log.events, facts=log.facts, vectors=vectors, vectors_name="chance", out=out, config=SMALL)


@pytest.fixture(autouse=True)
def tracked(isolated_mlflow: IsolatedMlflow) -> None:
    """Trainings of this file are tracked in a database of their own."""


def model() -> Model:
    return recmem.load(trained().bundle)


def test_what_lies_two_steps_away_is_found_by_facts_and_by_nothing_else() -> None:
    rows = {row.name: row.metrics["ndcg@10"] for row in trained().ledger.rows}
    assert rows[WITH_MATCH] > 0.8
    others = {name: value for name, value in rows.items() if name not in (WITH_MATCH, "ranker_with_text_similarity")}
    assert WITHOUT_MATCH in others
    assert all(value < 0.2 for value in others.values()), others
    assert trained().ledger.ships == WITH_MATCH


def test_recommendations_continue_the_movement_and_say_so() -> None:
    one = model()
    movement = 3
    books = [item for item, of in planted().movement_of.items() if of == movement]
    times = pl.Series("timestamp", ["2026-06-01", "2026-06-02", "2026-06-03"])
    one.observe(pl.DataFrame({"user_id": "new", "item_id": books[:3], "timestamp": times}))
    best = one.recommend(["new"], k=2)
    assert set(best["item_id"]) == set(books[3:])
    shared = f"shares author > movement: Movement {movement} with 3 of the user's items"
    assert all(shared in reason for reason in best["reason"])
    explained = one.explain("new", books[3])
    assert explained.fact == SharedFact(f"author > movement: Movement {movement}", 3, None)
    assert shared in explained.sentence()
    assert explained.features["facts_shared"] + explained.features["facts_max"] > 0
    other = next(item for item, of in planted().movement_of.items() if of == 150)
    assert f"Movement {movement}" not in one.explain("new", other).sentence()


def test_a_shared_fact_is_joined_as_the_language_does() -> None:
    one = model()
    one.bundle = replace(one.bundle, config=replace(one.bundle.config, language="zh"))
    movement = 3
    books = [item for item, of in planted().movement_of.items() if of == movement]
    one.observe(pl.DataFrame({"user_id": "new", "item_id": books[:3], "timestamp": "2026-06-01"}))
    words = f"author > movement\N{FULLWIDTH COLON}Movement {movement}"
    assert one.explain("new", books[3]).fact == SharedFact(words, 3, None)
    assert f"「{words}」" in one.recommend(["new"], k=1)["reason"][0]


def test_scores_of_given_pairs_are_those_of_the_retrieved_ones() -> None:
    one = model()
    user = planted().events["user_id"][0]
    best = one.recommend([user], k=100)
    again = one.rank(best.select("user_id", "item_id"))
    np.testing.assert_allclose(again["score"], best["score"], rtol=0, atol=1e-6)
    pairs = planted().items.select(pl.lit(user).alias("user_id"), "item_id")
    _, whole = one.pairs(pairs)
    _, single = one.pairs(pairs[7:8])
    for name in NAMES:
        assert single.values[name].tolist() == whole.values[name][7:8].tolist()


def test_batch_and_online_features_are_equal() -> None:
    one = model()
    assert replay_audit(one, PastQueries.sample(one.dataset, 8, np.random.default_rng(1))).is_empty()


def test_the_shortlist_of_a_large_catalogue_holds_what_shares_rare_facts() -> None:
    one = model()
    retrieval = replace(one.bundle.config.retrieval, whole_up_to=10, candidates=20)
    one.bundle = replace(one.bundle, config=replace(one.bundle.config, retrieval=retrieval))
    movement = 7
    books = [item for item, of in planted().movement_of.items() if of == movement]
    one.observe(pl.DataFrame({"user_id": "new", "item_id": books[:3], "timestamp": "2026-06-01"}))
    assert set(one.recommend(["new"], k=2)["item_id"]) == set(books[3:])


def test_a_model_without_facts_reads_none_and_the_report_names_those_of_this_one() -> None:
    config = model().dataset.config.knowledge
    assert config == KnowledgeConfig(facts=True, columns=())
    report = trained().report.read_text(encoding="utf-8")
    assert f"{len(planted().facts):,} of the facts table" in report
    ledger = json.loads((trained().out / "ledger.json").read_text())
    assert ledger["ships"] == WITH_MATCH


def test_facts_of_no_item_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    log = planted()
    wrong = log.facts.with_columns(pl.lit("x-").add(pl.col("subject")).alias("subject"))
    with pytest.raises(
        DataError, match=r"facts\.subject: expected ids of items, such as 'b0', .* got none among 'x-Au"
    ):
        train(log.items, log.events, facts=wrong, out=tmp_path / "run", config=SMALL)
    assert not (tmp_path / "run" / "store").exists()


def test_columns_that_are_no_texts_are_refused() -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "pages": [1, 2], "author": ["X", "X"]})
    empty = pl.DataFrame(schema={name: pl.String for name in ("subject", "relation", "object", "language")})
    for name, got in (("pages", "Int64"), ("writer", "none in the items table, which has item_id, pages, author")):
        with pytest.raises(DataError, match=rf"items\.{name}: expected a column of text .* got {got}"):
            knowledge_of(items, empty, KnowledgeConfig(columns=(name,)))
    read = knowledge_of(items, empty, KnowledgeConfig(columns=("author",)))
    assert read == KnowledgeConfig(facts=False, columns=("author",))
    assert knowledge_of(items, empty, KnowledgeConfig()) is None
    table = pl.DataFrame([("a", "by", "X", None)], schema=empty.schema, orient="row")
    assert knowledge_of(items, table, KnowledgeConfig(facts=False)) is None


def test_a_warning_says_where_hardly_any_item_has_a_fact_of_another() -> None:
    dataset = model().dataset
    config = dataset.config.knowledge
    facts = dataset.catalogue.facts
    assert list(facts_warnings(facts, config, len(planted().items))) == []
    (warning,) = facts_warnings(facts, config, 1_000_000)
    assert warning.startswith("facts: 1,000 of 1,000,000 items have a fact that another item has too")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"columns": ("a", "a")}, "columns: expected each column once"),
        ({"columns": ("auto", "a")}, "columns: expected names, or auto alone"),
        ({"steps": 3}, "steps: expected 1 to 2, got 3"),
        ({"largest_share": 0.0}, "largest_share: expected more than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        KnowledgeConfig(**settings)  # type: ignore[arg-type]


def test_facts_are_memory_slots_that_reasons_quote_where_they_are_asked_for(tmp_path: Path) -> None:
    items = small_training.items()
    theme_of = {item: theme for theme, libraries in small_training.THEMES.items() for item, _ in libraries}
    facts = pl.DataFrame(
        [(item, "made for", theme) for item, theme in theme_of.items()], schema=list(FACT), orient="row"
    )
    result = train(
        items,
        small_training.events(),
        facts=facts,
        out=tmp_path / "run",
        tune_encoder="off",
        config=SMALL | {"memory.knowledge": 2},
    )
    one = recmem.load(result.bundle)
    user, item, time = small_training.events().select("user_id", "item_id", "timestamp").row(0)
    memory = one.memory(user, timestamp=time)
    assert memory.is_empty()
    slots = one.memory(user).filter(kind="knowledge")
    themes = one.memory(user).filter(kind="positive")["item_id"].replace_strict(theme_of).unique()
    assert 1 <= len(slots) <= 2
    assert set(slots["title"]) <= {f"made for: {theme}" for theme in themes}
    assert slots["item_id"].null_count() == len(slots)
    found = one.search_memory(user, f"libraries for {slots['title'][0]}", k=1)
    assert found.select("text", "kind", "item_id").rows() == [(slots["title"][0], "knowledge", None)]
    reasons = one.explain(user, item).slots
    assert {reason.title for reason in reasons if reason.kind == "knowledge"} == set(slots["title"])
    assert replay_audit(one, PastQueries.sample(one.dataset, 5, np.random.default_rng(1))).is_empty()


def test_slots_for_facts_that_cannot_be_filled_are_a_warning() -> None:
    read = KnowledgeConfig()
    (without,) = slots_warnings(8, None, has_encoder=True)
    assert without.startswith("memory.knowledge: expected facts of items for 8 slots, got none. Give some with --facts")
    (vectors,) = slots_warnings(8, read, has_encoder=False)
    assert "got vectors of the items" in vectors
    assert list(slots_warnings(8, read, has_encoder=True)) == []
    assert list(slots_warnings(0, None, has_encoder=True)) == []
