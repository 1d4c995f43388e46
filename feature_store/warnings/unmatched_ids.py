"""Rows that name an item or a user that another table lacks: how many, examples of both, and the likely cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from feature_store.data_errors import DataError
from feature_store.excerpts import excerpt
from feature_store.warnings.id_differences import N_SAMPLED, N_SHOWN, ZEROS, Difference, likely_difference

MANY = 0.1
"""A larger share of unmatched rows is a warning."""
_MOST = 0.5
"""A column that holds at least this share of the sampled ids is the one that was meant."""
_MAX_EXAMPLE_CHARS = 40
_COUNTED_UP = r"^[0-9]{1,9}$"
_MAX_COLUMNS = 50
"""Columns of a table that are searched for the ids, at most."""


@dataclass(frozen=True)
class UnmatchedIds:
    """Rows of one table whose id another table lacks, if there are any."""

    column: str
    """Whose ids are looked up: `events.item_id`."""
    known_column: str
    """Where they are looked up: `items.item_id`."""
    n_rows: int
    """Rows of the table."""
    n_unmatched: int
    """Those whose id is not found."""
    n_ids: int
    """Distinct ids that are not found."""
    examples: tuple[str, ...] = ()
    """Ids that are not found, in Python's notation."""
    known_examples: tuple[str, ...] = ()
    """Ids of the other table; those that the examples probably stand for, if a cause was found."""
    cause: str = ""
    """Why they are probably not found, for a message; empty if no cause was found."""
    is_alike: bool = False
    """Whether the examples, each with the known example at its place, are the same ids written in two ways."""

    @property
    def share(self) -> float:
        """Unmatched rows, as a share of all; 0 for an empty table."""
        return self.n_unmatched / self.n_rows if self.n_rows else 0.0

    @property
    def is_all(self) -> bool:
        """Whether no row is matched although there are rows, and ids to match them with."""
        return 0 < self.n_rows == self.n_unmatched and bool(self.known_examples)

    @property
    def is_warning(self) -> bool:
        """Whether this looks like a mistake. Users without events are common; ids written in two ways are not."""
        if self.column.endswith("user_id"):
            # A users table of which no row is read is that of another shop, or its ids are written otherwise.
            return bool(self.n_unmatched and self.cause) or (self.is_all and self.column == "users.user_id")
        return self.share > MANY or bool(self.n_unmatched and self.cause)

    def __str__(self) -> str:
        table = self.known_column.partition(".")[0]
        return (
            f"{self.column}: {self.n_unmatched:,} of {self.n_rows:,} rows ({_percent(self.share)}) are unmatched: "
            f"{table} lacks their {self.column.partition('.')[2]} ({self.ids()}){self.cause_sentence()}{self.remedy()}"
        )

    def ids(self) -> str:
        """How many ids there are, with examples of both tables."""
        count = f"{self.n_ids:,} {'id' if self.n_ids == 1 else 'ids'}, such as {', '.join(self.examples)}"
        known = f", where {self.known_column} has {', '.join(self.known_examples)}" if self.known_examples else ""
        return count + known

    def cause_sentence(self) -> str:
        """The end of a sentence, with the likely cause and a pair of ids; just a full stop if no cause was found."""
        if not self.cause:
            return "."
        pair = f" ({self.examples[0]} stands for {self.known_examples[0]})" if self.is_alike else ""
        return f". Likely cause: {self.cause}{pair}."

    def remedy(self) -> str:
        """What to do about ids of two spellings, as a sentence with a space before it; "" where no pair was found."""
        if not self.is_alike:
            return ""
        zeros = ""
        if ZEROS in self.cause:
            lost_in = self.column if self.known_examples[0].strip("'").startswith("0") else self.known_column
            zeros = f" Read {lost_in} as text, so that zeros stay (dtype=str in pandas; spreadsheets drop them)."
        return f"{zeros} Write the ids alike in both tables, and start a new store: accepted rows stay in this one."


def _percent(share: float) -> str:
    return "under 1%" if 0 < share < 0.01 else f"{share:.0%}"


def unmatched_rows(
    items: pl.DataFrame, events: pl.DataFrame, impressions: pl.DataFrame, users: pl.DataFrame | None = None
) -> tuple[UnmatchedIds, ...]:
    """Events and impressions whose items the items table lacks, and impressions and rows of users without events.

    Only columns that have unmatched rows are listed.
    """
    columns = _columns_of(items, "items")
    found = [unmatched_ids(events, "events.item_id", items, "items.item_id", _columns_of(events, "events") | columns)]
    if impressions.height:
        others = _columns_of(impressions, "impressions")
        found += [
            unmatched_ids(impressions, "impressions.item_id", items, "items.item_id", others | columns),
            unmatched_ids(impressions, "impressions.user_id", events, "events.user_id", others),
        ]
    if users is not None and users.height:
        found.append(unmatched_ids(users, "users.user_id", events, "events.user_id", _columns_of(users, "users")))
    return tuple(each for each in found if each.n_unmatched)


def unmatched_ids(
    rows: pl.DataFrame, column: str, known: pl.DataFrame, known_column: str, others: Mapping[str, pl.Series]
) -> UnmatchedIds:
    """The rows whose id in `column` is not in `known_column`.

    `others` are the columns, by their full names, that may have been confused with one of the two.
    """
    ids = rows[column.partition(".")[2]]
    known_ids = known[known_column.partition(".")[2]].drop_nulls().unique()
    if ids.dtype != known_ids.dtype:
        ids = ids.cast(pl.String)
        known_ids = known_ids.cast(pl.String)
    counts = ids.drop_nulls().value_counts(name="n").rename({ids.name: "id"})
    missing = counts.join(known_ids.alias("id").to_frame(), on="id", how="anti")
    n_unmatched = int(missing["n"].sum())
    if not n_unmatched:
        return UnmatchedIds(column, known_column, rows.height, 0, 0)
    sample = _spread(missing["id"].sort().cast(pl.String), N_SAMPLED)
    known_texts = known_ids.cast(pl.String)
    difference = _difference(sample, known_texts, column, known_column, others)
    examples = difference.examples[:N_SHOWN] or tuple(_spread(sample, N_SHOWN))
    known_examples = difference.known_examples[:N_SHOWN] or tuple(known_texts.bottom_k(N_SHOWN).sort())
    return UnmatchedIds(
        column=column,
        known_column=known_column,
        n_rows=rows.height,
        n_unmatched=n_unmatched,
        n_ids=missing.height,
        examples=tuple(repr(excerpt(text, _MAX_EXAMPLE_CHARS)) for text in examples),
        known_examples=tuple(repr(excerpt(text, _MAX_EXAMPLE_CHARS)) for text in known_examples),
        cause=difference.cause,
        is_alike=bool(difference.examples and difference.known_examples),
    )


def require_matches(unmatched: tuple[UnmatchedIds, ...]) -> None:
    """Raises DataError if the ids of a table's items never meet those of the items table."""
    lines = [_refusal(each) for each in unmatched if each.is_all and each.column.endswith("item_id")]
    if lines:
        raise DataError("\n".join(lines))


def n_items_without_events(items: pl.DataFrame, events: pl.DataFrame) -> int:
    """How many items have no events."""
    ids = items.select(pl.col("item_id").cast(pl.String)).unique()
    return ids.join(events.select(pl.col("item_id").cast(pl.String)), on="item_id", how="anti").height


def _refusal(unmatched: UnmatchedIds) -> str:
    got = f"none of them in {unmatched.n_rows:,} rows ({unmatched.ids()})"
    remedy = "Write the ids in the same way in both tables, and check that both are of the same catalogue."
    expected = f"ids of {unmatched.known_column}"
    return f"{unmatched.column}: expected {expected}, got {got}{unmatched.cause_sentence()} {remedy}"


def _difference(
    sample: pl.Series, known: pl.Series, column: str, known_column: str, others: Mapping[str, pl.Series]
) -> Difference:
    """How the sampled ids differ from the known ones; first whether columns were confused, then how ids are written."""
    table, _, name = column.partition(".")
    for other, cells in others.items():
        other_table, _, other_name = other.partition(".")
        if other in (column, known_column):
            continue
        if other_table != table:
            if _share_in(sample, cells) >= _MOST:
                return Difference(f"they are values of the column {other}, not of {known_column}")
        elif _share_in(_spread(cells.drop_nulls().unique().cast(pl.String), N_SAMPLED), known) >= _MOST:
            if known.str.contains(_COUNTED_UP).all() and (spelt := likely_difference(sample, known)).known_examples:
                # Any two columns that count from 1 have their ids in common.
                return replace(spelt, cause=f"{spelt.cause}, unless {name} and {other_name} are swapped")
            return Difference(f"{other} holds the ids of {known_column}: {name} and {other_name} look swapped")
    return likely_difference(sample, known)


def _share_in(ids: pl.Series, cells: pl.Series) -> float:
    """Which share of the ids is among the cells; 0 without any."""
    found = ids.to_frame("id").join(cells.cast(pl.String).alias("id").to_frame(), on="id", how="semi").height
    return found / len(ids) if len(ids) else 0.0


def _columns_of(frame: pl.DataFrame, table: str) -> dict[str, pl.Series]:
    """The columns that may hold ids, by their full names."""
    names = [
        name
        for name, dtype in frame.schema.items()
        if (dtype == pl.String or dtype.is_integer()) and (table == "items" or name.endswith("_id"))
    ]
    return {f"{table}.{name}": frame[name] for name in names[:_MAX_COLUMNS]}


def _spread(values: pl.Series, limit: int) -> pl.Series:
    """At most `limit` values, evenly spread over their order."""
    return values.gather_every(max(-(-len(values) // limit), 1))
