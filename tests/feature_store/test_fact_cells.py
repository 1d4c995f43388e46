"""Facts in the store: what a cell may hold, what counts as stored, and what goes with an item."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from feature_store import DataError, Store
from feature_store.fact_cells import are_about, names_of_iris, namespace_of_iris
from feature_store.files.table_files import read_table
from feature_store.schema import FACTS
from feature_store.table_checks import check_table


def facts(*rows: tuple[object, object, object]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["subject", "relation", "object"], orient="row")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


def test_numbers_and_dates_become_the_text_that_an_id_has() -> None:
    frame = pl.DataFrame({"subject": [7.0, 8.0], "relation": ["year", "new"], "object": [1968, 1969]})
    assert check_table(frame, FACTS).kept.select("subject", "object").rows() == [("7", "1968"), ("8", "1969")]
    frame = pl.DataFrame({"subject": ["a", "b"], "relation": ["p", "p"], "object": [True, False]})
    assert check_table(frame, FACTS).kept["object"].to_list() == ["true", "false"]
    frame = pl.DataFrame({"subject": ["a", "b"], "relation": ["p", "p"], "object": [4.5, 3.0]})
    assert check_table(frame, FACTS).kept["object"].to_list() == ["4.5", "3"]


def test_rows_without_one_of_the_three_are_rejected_with_the_reason(store: Store) -> None:
    receipt = store.append_facts(facts(("a", "author", "X"), ("b", None, "X"), ("c", "author", " ")))
    assert (receipt.n_new, receipt.n_rejected) == (1, 2)
    assert set(receipt.reasons) == {
        "relation: expected text, got null",
        "object: expected text, got empty text",
    }


def test_a_fact_is_stored_once_however_often_it_is_given(store: Store) -> None:
    first = facts(("a", "author", "X"), ("a", "author", " X "), ("a", "author", "Y"))
    assert (store.append_facts(first).n_new, store.append_facts(first).n_new) == (2, 0)
    assert sorted(store.facts()["object"]) == ["X", "Y"]


def test_a_store_without_facts_reads_as_before(store: Store) -> None:
    store.append_items(pl.DataFrame({"item_id": ["a"], "title": ["A"]}))
    assert store.facts().is_empty()
    assert FACTS.name not in store.versions()


def test_forgetting_an_item_takes_its_facts_and_names_those_that_mention_it(store: Store) -> None:
    store.append_items(pl.DataFrame({"item_id": ["book-12", "book-3"], "title": ["A", "B"]}))
    rows = [
        ("book-12", "author", "X"),
        ("http://x.org/book-12", "author", "X"),
        ("book-3", "sequel of", "book-12"),
        ("X", "born in", "Y"),
    ]
    store.append_facts(facts(*rows))
    forgotten = store.forget_item("book-12")
    assert forgotten.n_removed["facts"] == 2
    assert forgotten.mentions == {"facts.object": 1}
    assert sorted(store.facts()["subject"]) == ["X", "book-3"]


def test_forgetting_a_user_leaves_the_facts_of_an_item_of_the_same_id(store: Store) -> None:
    store.append_facts(facts(("7", "author", "X")))
    assert "facts" not in store.forget_user("7").n_removed
    assert store.facts().height == 1


@pytest.mark.parametrize(
    ("columns", "remedy"),
    [
        (
            ("head", "relation", "tail"),
            "If 'head' holds it, rename it to 'subject'.*If 'tail' holds it, rename it to 'object'",
        ),
        (
            ("s", "p", "o"),
            "If 's' holds it, rename it to 'subject'.*If 'p' holds it.*If 'o' holds it, rename it to 'object'",
        ),
        (
            ("head_id:token", "relation_id:token", "tail_id:token"),
            "If 'head_id:token' holds it, rename it to 'subject'",
        ),
    ],
)
def test_columns_of_other_names_are_named_in_the_refusal(columns: tuple[str, ...], remedy: str) -> None:
    frame = pl.DataFrame([("a", "b", "c")], schema=list(columns), orient="row")
    with pytest.raises(DataError, match=f"(?s){remedy}"):
        check_table(frame, FACTS)


def test_numbers_of_a_csv_stay_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_text("subject,relation,object\n007,isbn,0123\n008,isbn,0456\n")
    assert read_table(str(path), table="facts").frame.rows() == [("007", "isbn", "0123"), ("008", "isbn", "0456")]


def test_iris_are_told_from_other_texts_and_taken_apart() -> None:
    texts = pl.Series(["http://x.org/a/Caf%C3%A9", "http://x.org/v#label", "AC/DC", "book:12", "http://x.org/q/"])
    assert names_of_iris(texts).to_list() == ["Café", "label", None, None, "q"]
    assert namespace_of_iris(texts).to_list() == ["http://x.org/a/", "http://x.org/v#", None, None, "http://x.org/"]


def test_an_item_is_a_subject_by_its_id_or_by_the_end_of_its_iri() -> None:
    subjects = pl.Series(["12", "http://x.org/12", "http://x.org/112", "112", "x/12"])
    assert are_about(subjects, 12).to_list() == [True, True, False, False, False]
