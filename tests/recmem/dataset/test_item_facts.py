"""Which item has which fact: from triples and columns, one and two steps away, with weights and in words."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from feature_store.schema import FACTS
from recmem.dataset.item_facts import MOST_FOLLOWED, ItemFacts, fact_columns, subjects_of_items
from recmem.dataset.knowledge_config import KnowledgeConfig
from tolerances import close

ITEMS = pl.DataFrame({"item_id": ["a", "b", "c", "d", "e"], "genre": ["x|y", "x", "y", None, "z"]})


def triples(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame([(*row, None) for row in rows], schema=FACTS.schema(), orient="row")


def held(facts: ItemFacts) -> dict[str, list[int]]:
    """The items of each fact, by its words."""
    matrix = facts.held.toarray()
    return {words: np.flatnonzero(matrix[:, fact]).tolist() for fact, words in enumerate(facts.words)}


def of(*rows: tuple[str, str, str], items: pl.DataFrame = ITEMS, **settings: object) -> ItemFacts:
    return ItemFacts.of(items, triples(*rows), KnowledgeConfig(**settings))  # type: ignore[arg-type]


BOOKS = (
    ("a", "author", "Le Guin"),
    ("b", "author", "Le Guin"),
    ("c", "author", "Lem"),
    ("d", "author", "Dick"),
    ("Le Guin", "influenced_by", "Taoism"),
    ("Lem", "influenced_by", "Kafka"),
    ("Dick", "influenced_by", "Kafka"),
    ("Kafka", "born in", "Prague"),
)


def test_facts_of_items_and_of_their_objects_are_held_where_two_items_have_them() -> None:
    assert held(of(*BOOKS)) == {
        "author: Le Guin": [0, 1],
        "author > influenced by: Kafka": [2, 3],
        "author > influenced by: Taoism": [0, 1],
    }
    assert held(of(*BOOKS, steps=1)) == {"author: Le Guin": [0, 1]}


def test_the_weight_is_the_logarithm_of_items_per_item_that_has_the_fact() -> None:
    facts = of(*BOOKS, steps=1)
    close(facts.held[0, 0], math.log(5 / 2), "float32")
    close(facts.norms, [math.log(5 / 2)] * 2 + [1.0] * 3, "float32")
    assert facts.n_items == 2


def test_facts_that_too_many_items_have_are_left_out() -> None:
    rows = [(item, "language", "English") for item in "abc"]
    assert held(of(*rows)) == {}
    assert held(of(*rows, largest_share=0.6)) == {"language: English": [0, 1, 2]}


def test_columns_are_facts_and_their_cells_may_hold_several_values() -> None:
    assert held(of(columns=("genre",))) == {"genre: x": [0, 1], "genre: y": [0, 2]}


def test_values_of_columns_are_followed_like_objects() -> None:
    facts = of(("x", "kind", "fiction"), ("y", "kind", "fiction"), columns=("genre",), largest_share=0.9)
    assert held(facts)["genre > kind: fiction"] == [0, 1, 2]


def test_the_order_of_the_table_does_not_matter() -> None:
    other = of(*reversed(BOOKS))
    first = of(*BOOKS)
    assert other.words == first.words
    assert (other.held != first.held).nnz == 0


def test_a_subject_with_very_many_facts_is_not_followed() -> None:
    hub = [("Le Guin", "wrote", f"Book {number}") for number in range(MOST_FOLLOWED)]
    assert "author > influenced by: Taoism" not in held(of(*BOOKS, *hub))
    assert "author > influenced by: Taoism" in held(of(*BOOKS, *hub[:-1]))


def test_blank_nodes_are_followed_and_are_no_facts_themselves() -> None:
    rows = [("a", "award", "_:1-n"), ("b", "award", "_:1-n"), ("_:1-n", "name of award", "Hugo")]
    assert held(of(*rows)) == {"award > name of award: Hugo": [0, 1]}


def test_iris_are_items_by_their_last_part_in_one_namespace_only() -> None:
    subjects = pl.Series(["http://x.org/book/a", "http://x.org/book/b", "http://x.org/author/c", "http://x.org/book/q"])
    found = subjects_of_items(ITEMS["item_id"], subjects)
    assert found.rows() == [("http://x.org/book/a", 0), ("http://x.org/book/b", 1)]
    # Where ids are subjects as they are, no IRI is taken for one.
    assert subjects_of_items(ITEMS["item_id"], pl.concat([subjects, pl.Series(["d"])])).rows() == [("d", 3)]


def test_ids_of_whole_numbers_are_found_as_text() -> None:
    items = pl.DataFrame({"item_id": [7, 8, 9, 10]})
    assert held(of(("7", "by", "X"), ("8", "by", "X"), items=items)) == {"by: X": [0, 1]}


def test_no_fact_at_all_is_an_empty_map() -> None:
    facts = of()
    assert len(facts) == 0
    assert facts.held.shape == (5, 0)
    assert facts.norms.tolist() == [1.0] * 5


@pytest.mark.parametrize(
    ("cells", "is_taken"),
    [
        (["x", "y"] * 10, True),
        (["x;y", "y", "z"] * 10, True),
        ([f"title {number}" for number in range(20)], False),  # no value repeats
        (["all the same"] * 20, False),
        (["a text of more than four words", "and another text like that one"] * 10, False),
        (["x", "y", "x"] + [None] * 40, False),  # mostly empty
    ],
)
def test_auto_takes_columns_of_few_words_that_repeat(cells: list[str | None], is_taken: bool) -> None:
    items = pl.DataFrame({"item_id": [str(row) for row in range(len(cells))], "column": cells})
    assert fact_columns(items, ("auto",)) == (("column",) if is_taken else ())
    assert fact_columns(items, ("column",)) == ("column",)
    assert fact_columns(items, ()) == ()
