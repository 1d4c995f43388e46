"""`examples/support_desk.py` in a short form: the memory finds the customer's product, as of each ticket's time."""

from __future__ import annotations

import importlib.util
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from conftest import IsolatedMlflow

ROOT = Path(__file__).parents[1]
N_CUSTOMERS = 40
QUICK = {
    "encoder.max_tokens": 48,
    "match.min_steps": 40,
    "match.max_steps": 40,
    "ranker.rounds": 5,
    "ranker.smoothing": 1,
    "retrieval.candidates": 50,
    "tree_members": 1,
    "refit": False,
}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("support_desk", ROOT / "examples" / "support_desk.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["support_desk"] = module  # its dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def test_past_tickets_find_the_answer_for_the_customers_product(
    example: ModuleType, tmp_path: Path, isolated_mlflow: IsolatedMlflow, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = example.make_desk(N_CUSTOMERS)
    model = example.learned(desk, tmp_path, QUICK)
    outcome = example.measure(example.scored_answers(desk, model))
    shares = {name: example.interval(firsts) for name, firsts in outcome.firsts.items()}
    share, low, high = shares["question and memory"]
    assert share > shares["question alone"][0] + 0.1
    assert low > shares["memory alone"][2]
    assert low < share < high
    example.show(outcome)
    printed = capsys.readouterr().out
    assert "made up" in printed
    assert f"question and memory{share:>11.0%}" in printed
    assert "because it builds on ticket-" in printed


def test_a_desk_is_the_same_for_the_same_seed_and_its_tickets_are_solved_by_answers_of_owned_products(
    example: ModuleType,
) -> None:
    desk = example.make_desk(N_CUSTOMERS)
    assert desk.tickets.equals(example.make_desk(N_CUSTOMERS).tickets)
    assert not desk.tickets.equals(example.make_desk(N_CUSTOMERS, seed=1).tickets)
    assert desk.answers["answer_id"].is_unique().all()
    assert desk.tickets["answer_id"].is_in(desk.answers["answer_id"].implode()).all()
    assert desk.tickets["timestamp"].is_sorted()
    product = pl.col("answer_id").str.split(": ").list.first()
    owned = desk.tickets.group_by("user_id", product.alias("product")).agg(pl.col("timestamp").min())
    kind_of = {name: kind for kind, products in example.PRODUCTS.items() for name in products}
    kinds = owned.with_columns(kind=pl.col("product").replace_strict(kind_of)).group_by("user_id", "kind").len()
    assert kinds["len"].max() == 2  # one was replaced by another
    share = (kinds["len"] == 2).mean()
    assert 0 < float(share) < 0.3  # type: ignore[arg-type]
    named = desk.tickets.filter("names_product")
    assert len(named) / len(desk.tickets) == pytest.approx(example.SHARE_NAMED, abs=0.05)


def test_only_later_tickets_of_known_customers_are_scored_and_the_weight_is_chosen_on_others(
    example: ModuleType,
) -> None:
    early = example.START + timedelta(days=example.LEARNED_DAYS + 1)
    late = example.START + timedelta(days=example.CHOSEN_DAYS + 1)
    rows = [
        # Before: the memory is right; after: the question is.
        *(
            ("t1", early, "a", answer, "ann", question, memory, -memory)
            for answer, question, memory in [("a", -1.0, 3.0), ("b", 1.0, 0.0)]
        ),
        *(
            ("t2", late, "b", answer, "ann", question, memory, -memory)
            for answer, question, memory in [("a", -1.0, 3.0), ("b", 1.0, 0.0)]
        ),
    ]
    schema = ["item_id", "timestamp", "best", "answer_id", "user_id", "of_question", "of_memory", "of_similarity"]
    outcome = example.measure(pl.DataFrame(rows, schema=schema, orient="row"))
    assert outcome.weight == 1.0
    assert {name: firsts["is_best"].to_list() for name, firsts in outcome.firsts.items()} == {
        "question alone": [True],
        "memory alone": [False],
        "question and similarity": [True],
        "question and memory": [False],
    }
