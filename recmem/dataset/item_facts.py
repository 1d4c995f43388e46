"""The facts of items: from triples and columns to a sparse map from item to fact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
import scipy.sparse as sp

from feature_store.arrays import Float32Array
from feature_store.fact_cells import names_of_iris, namespace_of_iris
from recmem.dataset.fact_words import LABELS, fact_words, is_blank
from recmem.dataset.knowledge_config import KnowledgeConfig

MOST_FOLLOWED = 200
"""Facts of a subject that is no item; one with more, such as a country, is not followed: it links everything."""
FEWEST_ITEMS = 2
"""Items that must have a fact; one that a single item has connects it with no other."""
_SEPARATORS = (";", "|", ", ")
"""What stands between the values in a cell, the first that any cell of the column has."""
_LEVEL = pl.Schema({"item": pl.Int64, "relation": pl.String, "object": pl.String})


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """Which item has which fact."""

    words: tuple[str, ...] = field(default=(), repr=False)
    """Each fact in words, such as "author: Ursula K. Le Guin"."""
    held: sp.csr_matrix = field(default_factory=lambda: sp.csr_matrix((0, 0), dtype=np.float32), repr=False)
    """float32[item, fact]: stored where the item has the fact, with the fact's weight log(items / items that have it).
    """

    vectors: Float32Array = field(default_factory=lambda: np.empty((0, 0), np.float32), repr=False)
    """Unit vectors of the words, for facts that are memory slots: float32[fact, dim]; empty where none are."""

    @classmethod
    def of(cls, items: pl.DataFrame, triples: pl.DataFrame, config: KnowledgeConfig) -> ItemFacts:
        """The facts of items in the order of their rows; `triples` are rows of the facts table.

        Objects are followed to their own facts for `config.steps`. A fact that one item has, or more than
        `config.largest_share` of them, is left out.
        """
        ids = items["item_id"].cast(pl.String)
        known = triples.select("subject", "relation", "object", "language") if config.facts else triples.clear()
        of_items = pl.concat([_direct(ids, known), *_from_columns(items, config.columns)]).unique(maintain_order=True)
        levels = [of_items]
        if config.steps > 1:
            levels.append(_next(of_items, known, ids))
        pairs = pl.concat(levels).filter(~is_blank(pl.col("object")))
        return _counted(pairs, known, len(items), config)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def norms(self) -> Float32Array:
        """Length of each item's row of weights: float32[item]; 1 for an item without facts."""
        squares = self.held.multiply(self.held).sum(axis=1)
        norms = np.sqrt(np.asarray(squares, np.float64)).ravel().astype(np.float32)
        norms[norms == 0] = 1
        return norms

    @cached_property
    def items_of_fact(self) -> sp.csc_matrix:
        """`held` by fact: float32[item, fact]."""
        return self.held.tocsc()

    @cached_property
    def n_items(self) -> int:
        """Items that have a fact."""
        return int((np.diff(self.held.indptr) > 0).sum())


def subjects_of_items(ids: pl.Series, subjects: pl.Series) -> pl.DataFrame:
    """Which subjects are which items: `subject` and `item`, the row of the id.

    A subject is an item by its id. If no subject is, it is one by the last part of its IRI, within the one namespace
    whose IRIs name most items: `http://x.org/book/12` for 12, and not `http://x.org/author/12`.
    """
    rows = pl.DataFrame({"name": ids, "item": np.arange(len(ids))}, schema_overrides={"item": pl.Int64})
    distinct = subjects.unique(maintain_order=True)
    plain = pl.DataFrame({"subject": distinct, "name": distinct}).join(rows, on="name", maintain_order="left")
    if plain.height:
        return plain.select("subject", "item")
    named = pl.DataFrame(
        {"subject": distinct, "name": names_of_iris(distinct), "namespace": namespace_of_iris(distinct)}
    ).join(rows, on="name", maintain_order="left")
    counts = named.group_by("namespace").len().sort(["len", "namespace"], descending=[True, False])
    return named.join(counts.head(1), on="namespace", how="semi", maintain_order="left").select("subject", "item")


def unread_facts(ids: pl.Series, triples: pl.DataFrame) -> pl.DataFrame:
    """The facts of no item and of no object of an item's fact: however far facts are followed, nothing reads them.

    Names of things are left out: a relation has one without being an item.
    """
    own = subjects_of_items(ids.cast(pl.String), triples["subject"])["subject"]
    subject = pl.col("subject")
    objects = triples.filter(subject.is_in(own.implode()))["object"].unique()
    is_read = subject.is_in(own.implode()) | subject.is_in(objects.implode())
    return triples.filter(~is_read & ~pl.col("relation").is_in(_labels(triples)))


def fact_columns(items: pl.DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """The columns that are meant by the setting `knowledge.columns`: text columns of few words that repeat for "auto".

    These have at most four words a value in the mean, and a value belongs to three items or more in the mean.
    """
    if tuple(names) != ("auto",):
        return tuple(names)
    return tuple(sorted(name for name in items.columns if name != "item_id" and _repeats(items[name])))


def _repeats(column: pl.Series) -> bool:
    filled = column.drop_nulls()
    if column.dtype != pl.String or filled.is_empty() or filled.len() < len(column) / 10:
        return False
    values = _values(pl.DataFrame({"item": np.arange(len(filled)), "object": filled}))["object"]
    if values.is_empty():
        return False
    n_words = values.str.split(" ").list.len().mean()
    return (
        values.n_unique() > 1 and 3 * values.n_unique() <= len(values) and isinstance(n_words, float) and n_words <= 4
    )


def _direct(ids: pl.Series, triples: pl.DataFrame) -> pl.DataFrame:
    """The items' own facts: `item`, `relation`, `object`."""
    found = subjects_of_items(ids, triples["subject"]).join(triples, on="subject", maintain_order="left")
    kept = found.filter(~pl.col("relation").is_in(_labels(triples)))
    return kept.select("item", "relation", "object").cast(_LEVEL)


def _from_columns(items: pl.DataFrame, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The values of these columns as facts: `item`, `relation` (the column's name), `object`."""
    for name in names:
        if name in items.columns:
            cells = pl.DataFrame({"item": np.arange(len(items)), "object": items[name].cast(pl.String)})
            values = _values(cells.drop_nulls())
            yield values.select("item", pl.lit(name).alias("relation"), "object").cast(_LEVEL)


def _values(cells: pl.DataFrame) -> pl.DataFrame:
    """One row per value of a cell."""
    objects = cells["object"]
    separator = next((each for each in _SEPARATORS if objects.str.contains(each, literal=True).any()), None)
    if separator is not None:
        cells = cells.with_columns(pl.col("object").str.split(separator)).explode("object")
    return cells.with_columns(pl.col("object").str.strip_chars()).filter(pl.col("object").fill_null("") != "")


def _next(of_items: pl.DataFrame, triples: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    """The facts of the objects of the items' facts: `item`, the two relations as one, `object`."""
    own = subjects_of_items(ids, triples["subject"])["subject"]
    n_facts = triples.group_by("subject").len()
    followed = n_facts.filter((pl.col("len") <= MOST_FOLLOWED) | pl.col("subject").is_in(own.implode()))["subject"]
    further = triples.filter(
        pl.col("subject").is_in(followed.implode()) & ~pl.col("relation").is_in(_labels(triples))
    ).select(pl.col("subject").alias("object"), pl.col("relation").alias("then"), pl.col("object").alias("end"))
    joined = of_items.join(further, on="object", maintain_order="left")
    path = pl.concat_str(["relation", pl.lit("\n"), "then"])
    return joined.select("item", path.alias("relation"), pl.col("end").alias("object")).unique(maintain_order=True)


def _labels(triples: pl.DataFrame) -> list[str]:
    """The relations that give a thing its name, and are no facts."""
    relations = triples["relation"].unique()
    names = names_of_iris(relations).fill_null(relations)
    return relations.filter(names.is_in(LABELS)).to_list()


def _counted(pairs: pl.DataFrame, triples: pl.DataFrame, n_items: int, config: KnowledgeConfig) -> ItemFacts:
    """The map of items and facts that enough items have, and not too many."""
    pairs = pairs.unique(maintain_order=True)
    facts = (
        pairs.group_by("relation", "object")
        .len(name="n")
        .filter((pl.col("n") >= FEWEST_ITEMS) & (pl.col("n") <= config.largest_share * n_items))
    )
    # By content, so that the order of the table's rows does not matter.
    facts = facts.sort("relation", "object").with_row_index("fact")
    if facts.is_empty():
        return ItemFacts((), sp.csr_matrix((n_items, 0), dtype=np.float32))
    held = pairs.join(facts, on=["relation", "object"]).select("item", "fact", "n").sort("item", "fact")
    weights = np.log(n_items / held["n"].to_numpy()).astype(np.float32)
    # A fact that all items may have (`largest_share` of 1) still links them.
    weights = np.maximum(weights, np.float32(1e-3))
    place = (held["item"].to_numpy(), held["fact"].to_numpy().astype(np.int64))
    matrix = sp.csr_matrix((weights, place), (n_items, len(facts)))
    matrix.sort_indices()
    return ItemFacts(fact_words(facts["relation"], facts["object"], triples, config.language), matrix)
