"""Rejected rows that were dealt with: they stay in the table `rejected`, and are not reported when they come again.

A row is settled once it was resubmitted, once a row of the same key is stored, or once it was written off. One whose
correction was rejected in its turn is open in the form of the correction, which `replaced_by` names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

import polars as pl
from deltalake import DeltaTable

from feature_store._delta import append, replace, scan
from feature_store.row_keys import are_among
from feature_store.schema import EVENTS, IMPRESSIONS, REJECTED
from feature_store.table_checks import Checked
from feature_store.table_writes import TableChange, not_stored

RESUBMITTED = "resubmitted"
STORED = "stored"
WRITTEN_OFF = "written off"

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
"""A number without leading zeros: 1.50 and 1.5 are the same, 007 is none."""


def are_open(rejected: pl.DataFrame) -> pl.Series:
    """Which rows of the table `rejected` still wait for somebody: bool[row]."""
    return rejected["settled"].is_null() & rejected["replaced_by"].is_null()


def are_settled(rejected: pl.DataFrame) -> pl.Series:
    """Which rows of the table `rejected` were dealt with, each in its newest form alone: bool[row]."""
    return rejected["settled"].is_not_null() & rejected["replaced_by"].is_null()


def were_settled(rows: pl.DataFrame, past: pl.DataFrame) -> pl.Series:
    """Which of the rows, all of one table, have the content of a settled row of `past`: bool[row].

    Both are rows of `rejected`. Empty cells do not count, and a number is the same as its text: in another file the
    same column may be read otherwise.
    """
    return how_settled(rows, past).is_not_null()


def how_settled(rows: pl.DataFrame, past: pl.DataFrame) -> pl.Series:
    """As `were_settled`, with how the row of `past` was dealt with; null where there is none: str[row]."""
    settled = past.filter(past["settled"].is_not_null())
    if rows.is_empty() or settled.is_empty():
        return pl.Series([None] * len(rows), dtype=pl.String)
    # Of several rows of one content the written off ones win: they alone say nothing about stored rows.
    known = {_content(row): how for row, how in settled.select("row", "settled").sort("settled").iter_rows()}
    return pl.Series([known.get(_content(row)) for row in rows["row"]], dtype=pl.String)


def stored_since(past: pl.DataFrame, given: pl.DataFrame, checked: Checked, stored: pl.LazyFrame | None) -> list[str]:
    """The content hashes of rejected rows that `checked` settles, whose valid rows were appended just now.

    `past` is what `rejected` holds of the table, `given` its rows that came with `checked`, `stored` the table itself.
    A row is settled if a valid row of its key came after it. Of events and impressions the first row of a key
    counts, so there it is settled too if its key was stored before.
    """
    given = given.filter(~were_settled(given, past))
    waiting = past.filter(are_open(past), past["key"].is_not_null())
    first_counts = checked.table in (EVENTS, IMPRESSIONS)
    if not first_counts:
        waiting = waiting.filter(~waiting["content_hash"].is_in(given["content_hash"].implode()))
    found = waiting.filter(are_among(waiting["key"], checked.kept.lazy()))["content_hash"].to_list()
    if first_counts and stored is not None and given["key"].count():
        found += given.filter(are_among(given["key"], stored))["content_hash"].to_list()
    return list(dict.fromkeys(found))


def write_rejected(table: DeltaTable, rejected: pl.DataFrame) -> TableChange:
    """Adds the rejected rows, all of one table, that are not stored yet; not those with the content of a settled one.

    One with the content of an open row takes its place: its reason is another, or its columns were read otherwise.
    """
    stored = scan(table, REJECTED.schema())
    new = not_stored(rejected, stored, REJECTED.identity, within="content_hash")
    if new.is_empty():
        return TableChange(0, table.version())
    past = stored.filter(table=new["table"][0]).collect()
    new = new.filter(~were_settled(new, past))
    by_content = {_content(row): content_hash for row, content_hash in new.select("row", "content_hash").iter_rows()}
    waiting = past.filter(are_open(past)).select("row", "content_hash")
    replaced = {old: by_content[same] for row, old in waiting.iter_rows() if (same := _content(row)) in by_content}
    if replaced:
        rows = stored.collect()
        later = rows["content_hash"].replace_strict(replaced, default=rows["replaced_by"], return_dtype=pl.String)
        replace(table, pl.concat([rows.with_columns(replaced_by=later), new], how="diagonal"))
    elif new.height:
        append(table, new)
    return TableChange(new.height, table.version())


def settle(table: DeltaTable, *, hashes: Iterable[str], how: str) -> TableChange:
    """Marks the rows of these content hashes as dealt with, and those that they replace; `how`: see above.

    A row that is settled already stays as it is, but for one that was resubmitted after all.
    """
    rows = scan(table, REJECTED.schema()).collect()
    wanted = with_replaced(rows, hashes)
    changes = rows["settled"].ne_missing(how) if how == RESUBMITTED else rows["settled"].is_null()
    is_new = rows["content_hash"].is_in(list(wanted)) & changes
    return _rewrite(table, rows.with_columns(settled=rows["settled"].set(is_new, how)), int(is_new.sum()))


def replace_rejected(table: DeltaTable, *, corrections: Mapping[str, str]) -> TableChange:
    """Notes which rows were rejected anew after a correction: content hash -> that of the correction.

    The correction gets the place of the row that it replaces, in that row's file.
    """
    if not corrections:
        return TableChange(0, table.version())
    rows = scan(table, REJECTED.schema()).collect()
    hashes = rows["content_hash"]
    # A correction that has the content of an earlier form of the row is open again.
    replaced = rows["replaced_by"].set(hashes.is_in(list(corrections.values())), None)
    replaced = hashes.replace_strict(dict(corrections), default=replaced, return_dtype=pl.String)
    places = rows.select("line", "row_number", content_hash="content_hash")
    old = pl.DataFrame({"content_hash": list(corrections), "new": list(corrections.values())})
    of_new = old.join(places, on="content_hash").unique("new", keep="first").select("new", "line", "row_number")
    found = rows.select(new="content_hash").join(of_new, on="new", how="left", maintain_order="left")
    moves = rows["line"].is_null() & found["row_number"].is_not_null()
    changed = rows.with_columns(
        line=found["line"].zip_with(moves, rows["line"]),
        row_number=found["row_number"].zip_with(moves, rows["row_number"]),
        replaced_by=replaced,
    )
    return _rewrite(table, changed, len(corrections))


def with_replaced(rejected: pl.DataFrame, hashes: Iterable[str]) -> set[str]:
    """The content hashes, and those of all rows that these have replaced."""
    earlier: dict[str, list[str]] = {}
    for content_hash, later in rejected.select("content_hash", "replaced_by").drop_nulls().iter_rows():
        earlier.setdefault(later, []).append(content_hash)
    found: set[str] = set()
    waiting = list(hashes)
    while waiting:
        content_hash = waiting.pop()
        if content_hash not in found:
            found.add(content_hash)
            waiting += earlier.get(content_hash, [])
    return found


def _rewrite(table: DeltaTable, rows: pl.DataFrame, n_changed: int) -> TableChange:
    if n_changed:
        replace(table, rows)
    return TableChange(n_changed, table.version())


def _content(row: str) -> str:
    try:
        cells = json.loads(row)
    except ValueError:
        return row  # not written by recmem
    if not isinstance(cells, dict):
        return row
    texts = {name: _plain(cell) for name, cell in cells.items()}
    return json.dumps({name: text for name, text in texts.items() if text}, sort_keys=True)


def _plain(cell: object) -> str:
    if cell is None:
        return ""
    text = cell.strip() if isinstance(cell, str) else json.dumps(cell)
    if "." in text and _PLAIN_NUMBER.fullmatch(text):
        return text.rstrip("0").rstrip(".")
    return text
