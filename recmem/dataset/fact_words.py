"""Facts in words: of an IRI its label or its last part, of a relation its words."""

from __future__ import annotations

import re

import polars as pl

from feature_store.fact_cells import names_of_iris

LABELS = ("label", "name", "prefLabel", "preferredLabel")
"""Relations, by the last part of an IRI, that name a thing: rdfs:label, schema:name, foaf:name, skos:prefLabel."""
STEP = " > "
"""Between the two relations of a fact of an object: "author > influenced by: Jorge Luis Borges"."""
JOINT = ": "
"""Between relation and object."""
LONGEST = 80
"""Characters of an object's words."""
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def fact_words(relations: pl.Series, objects: pl.Series, triples: pl.DataFrame, language: str) -> tuple[str, ...]:
    """Each fact as "relation: object"; two relations stand on two lines. `triples` may have labels of both.

    These words are what an encoder reads of facts: the same in all languages of reasons.
    """
    labels = _labels(triples, language)
    steps = relations.str.split("\n").to_list()
    name = dict.fromkeys(each for path in steps for each in path)
    of_relation = {each: _relation(each, labels) for each in name}
    things = objects.replace_strict(labels, default=None, return_dtype=pl.String) if labels else _nulls(objects)
    plain = names_of_iris(objects).str.replace_all("_", " ", literal=True).fill_null(objects)
    shown = things.fill_null(plain).str.replace_all(r"\s+", " ").str.strip_chars().to_list()
    return tuple(
        f"{STEP.join(of_relation[each] for each in path)}{JOINT}{_cut(thing)}"
        for path, thing in zip(steps, shown, strict=True)
    )


def relation_and_object(words: str) -> tuple[str, str]:
    """The two parts of a fact in words; an object may have a colon, a relation has none."""
    relation, _, thing = words.partition(JOINT)
    return relation, thing


def is_blank(nodes: pl.Expr) -> pl.Expr:
    """Whether nodes are blank ones, which have no name of their own."""
    return nodes.str.starts_with("_:")


def _nulls(objects: pl.Series) -> pl.Series:
    return pl.Series([None] * len(objects), dtype=pl.String)


def _labels(triples: pl.DataFrame, language: str) -> dict[str, str]:
    """The label of each thing that has one: in the language, else without one, else the first by language."""
    relations = names_of_iris(triples["relation"]).fill_null(triples["relation"])
    found = triples.filter(relations.is_in(LABELS))
    spoken = pl.col("language").str.split("-").list.first()
    preference = pl.when(spoken == language).then(0).when(spoken.is_null()).then(1).otherwise(2)
    first = found.sort(preference, "language", "relation", "object").unique("subject", keep="first")
    return dict(first.select("subject", "object").iter_rows())


def _relation(relation: str, labels: dict[str, str]) -> str:
    if relation in labels:
        return labels[relation]
    name = names_of_iris(pl.Series([relation]))[0] or relation
    return _CAMEL.sub(" ", name).replace("_", " ").strip().lower() if name != relation else name.replace("_", " ")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
