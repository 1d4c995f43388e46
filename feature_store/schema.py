"""The tables of the store: their columns, with the stored dtype and the parser of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from feature_store.cell_parsing import parse_labels, parse_names, parse_numbers, parse_positions, parse_weights
from feature_store.data_errors import ColumnProblem
from feature_store.fact_cells import parse_fact_cells
from feature_store.timestamps import TIMESTAMP, parse_timestamps

Parser = Callable[[pl.Series], tuple[pl.Series, list[ColumnProblem]]]


@dataclass(frozen=True)
class Column:
    """A column that recmem gives a meaning to."""

    name: str
    dtype: pl.DataType
    """The stored dtype; for a native id the default, until the first append decides."""
    parse: Parser | None = None
    """Parses cells into the stored dtype; None for a native id, which keeps the type it came with (String or Int64)."""
    required: bool = False
    """Every frame has the column, without nulls."""


@dataclass(frozen=True)
class Table:
    """A table's columns, and the identity by which a row counts as stored already. Two of one name are equal."""

    name: str
    columns: tuple[Column, ...] = field(compare=False)
    identity: tuple[str, ...] = field(compare=False)
    keeps_extra: bool = field(default=False, compare=False)
    """Whether all additional columns are stored too; otherwise they are dropped."""
    needs_text: bool = field(default=False, compare=False)
    """Whether a frame without any text column is refused."""
    keeps_features: bool = field(default=False, compare=False)
    """Whether additional columns are stored if they are asked for, see `with_features`, or were before."""
    features: tuple[str, ...] = field(default=(), compare=False)
    """Additional columns that a frame must have, and that are stored."""

    def with_features(self, names: Sequence[str]) -> Table:
        """The table with these additional columns; itself if it keeps none."""
        return replace(self, features=tuple(names)) if self.keeps_features else self

    def without_texts(self) -> Table:
        """The table that takes rows without any text: items that are matched by vectors of their own."""
        return replace(self, needs_text=False)

    def schema(self, ids: Mapping[str, pl.DataType] | None = None) -> dict[str, pl.DataType]:
        """Maps each column to its stored dtype; `ids` gives the dtypes of native ids that are already decided."""
        return {column.name: (ids or {}).get(column.name, column.dtype) for column in self.columns}


def _id(name: str) -> Column:
    return Column(name, pl.String(), required=True)


def _time(name: str, *, required: bool) -> Column:
    return Column(name, TIMESTAMP, parse_timestamps, required)


def _as_they_are(cells: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    return cells, []


ITEMS = Table(
    "items",
    (_id("item_id"),),
    identity=("item_id",),
    keeps_extra=True,
    needs_text=True,
)
_ITEM_TIMES = (
    _id("item_id"),
    _time("timestamp", required=True),  # from when on the row holds
    _time("available_at", required=False),
    Column("event_id", pl.String(), parse_names),
    Column("cancels", pl.String(), parse_names),  # the event_id of the row that this one cancels
)
DATED_ITEMS = Table(
    "items",
    _ITEM_TIMES,
    identity=("item_id", "timestamp", "event_id", "cancels"),
    keeps_extra=True,
    needs_text=True,
)
"""What a frame of items with a `timestamp` is read as: a row a change. See `feature_store.item_changes`."""
ITEM_CHANGES = Table("item_changes", _ITEM_TIMES, identity=DATED_ITEMS.identity, keeps_extra=True)
"""The numbers of these rows, as of their times. Written with the items, never appended to by itself."""
EVENTS = Table(
    "events",
    (
        _id("user_id"),
        _id("item_id"),
        _time("timestamp", required=True),
        Column("event", pl.String(), parse_names),
        Column("value", pl.Float64(), parse_numbers),
        Column("session_id", pl.String(), parse_names),
        _time("available_at", required=False),
        Column("event_id", pl.String(), parse_names),
        Column("cancels", pl.String(), parse_names),  # the event_id of the event that this row cancels
        Column("weight", pl.Float64(), parse_weights),  # in training
    ),
    identity=("user_id", "item_id", "timestamp", "event", "cancels"),  # rows with an event_id: that alone
)
IMPRESSIONS = Table(
    "impressions",
    (
        _id("impression_id"),
        _id("user_id"),
        _time("timestamp", required=True),
        _id("item_id"),
        Column("label", pl.Int8(), parse_labels, required=True),
        Column("position", pl.Int32(), parse_positions),
        Column("weight", pl.Float64(), parse_weights),  # in training
    ),
    identity=("user_id", "timestamp", "impression_id", "item_id"),
    keeps_features=True,
)
USERS = Table(
    "users",
    (
        _id("user_id"),
        _time("timestamp", required=False),  # from when on the row holds; null if it always did
        _time("available_at", required=False),
    ),
    identity=("user_id", "timestamp"),
    keeps_extra=True,
)
FACTS = Table(
    "facts",
    (
        Column("subject", pl.String(), parse_fact_cells, required=True),  # an item's id, or a subject of its own
        Column("relation", pl.String(), parse_fact_cells, required=True),
        Column("object", pl.String(), parse_fact_cells, required=True),  # a word or value, or another fact's subject
        Column("language", pl.String(), parse_names),  # of the object's text
    ),
    identity=("subject", "relation", "object", "language"),
)
"""What is known of items beside their texts, as triples: a knowledge graph."""
REJECTED = Table(
    "rejected",
    (
        Column("table", pl.String()),
        Column("reason", pl.String()),
        Column("row", pl.String()),
        Column("row_number", pl.Int64()),
        Column("content_hash", pl.String()),
        Column("line", pl.Int64()),  # where the row begins in its file, counting from 1; null if the file has no lines
        Column("key", pl.String()),  # what identifies the row in its table, see `row_keys`; null if that is not known
        Column("settled", pl.String()),  # how the row was dealt with, see `settled_rows`; null as long as it is open
        Column("replaced_by", pl.String()),  # the content_hash of a correction that was rejected in its turn
    ),
    identity=("content_hash",),
)
ITEM_VECTORS = Table(
    "item_vectors",
    (
        _id("item_id"),
        Column("space", pl.String(), parse_names, required=True),  # the name of the vectors
        Column("vector", pl.List(pl.Float32()), _as_they_are, required=True),
    ),
    identity=("space", "item_id"),
)
"""Only `feature_store.item_vectors` appends to it, which checks the vectors."""
TABLES = (ITEMS, ITEM_CHANGES, EVENTS, IMPRESSIONS, USERS, FACTS, REJECTED, ITEM_VECTORS)


def are_dated_items(table: Table) -> bool:
    """Whether this is `DATED_ITEMS`, or the same `without_texts`."""
    return table.identity == DATED_ITEMS.identity and table.name == DATED_ITEMS.name
