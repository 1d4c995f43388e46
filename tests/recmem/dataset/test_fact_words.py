"""Facts in words: IRIs, labels in languages, relations."""

from __future__ import annotations

import polars as pl

from feature_store.schema import FACTS
from recmem.dataset.fact_words import LONGEST, fact_words, relation_and_object

X = "http://x.org/"


def words(relation: str, thing: str, *labels: tuple[str, str, str | None], language: str = "en") -> str:
    rows = [(subject, f"{X}rdf-schema#label", label, spoken) for subject, label, spoken in labels]
    triples = pl.DataFrame(rows, schema=FACTS.schema(), orient="row")
    (found,) = fact_words(pl.Series([relation]), pl.Series([thing]), triples, language)
    return found


def test_iris_become_words_and_other_texts_stay_as_they_are() -> None:
    assert words(f"{X}dc/author", f"{X}resource/Ursula_K._Le_Guin") == "author: Ursula K. Le Guin"
    assert words(f"{X}influencedBy", f"{X}Caf%C3%A9_Central") == "influenced by: Café Central"
    assert words("made_in", "SCP_049") == "made in: SCP_049"
    assert words("author\ninfluenced_by", "Taoism") == "author > influenced by: Taoism"


def test_labels_name_things_and_relations_in_the_language() -> None:
    labels = [
        (f"{X}Q1", "Mond", "de"),
        (f"{X}Q1", "Moon", "en-gb"),
        (f"{X}Q1", "Luna", None),
        (f"{X}P5", "about", None),
    ]
    assert words(f"{X}P5", f"{X}Q1", *labels) == "about: Moon"
    assert words(f"{X}P5", f"{X}Q1", *labels, language="de") == "about: Mond"
    assert words(f"{X}P5", f"{X}Q1", *labels, language="fr") == "about: Luna"


def test_long_objects_are_cut_and_line_breaks_are_spaces() -> None:
    shown = words("about", "two\nlines " + "x" * 200).removeprefix("about: ")
    assert shown.startswith("two lines xxx")
    assert shown.endswith("...")
    assert len(shown) == LONGEST


def test_relation_and_object_are_told_apart_at_the_first_colon() -> None:
    assert relation_and_object(words("author\ninfluenced_by", "Dune: Part Two")) == (
        "author > influenced by",
        "Dune: Part Two",
    )
