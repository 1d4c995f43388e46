"""Invalid rows in the form of the `rejected` table: unchanged, with the reason, to be corrected and resubmitted."""

from __future__ import annotations

import json
import math
from hashlib import blake2b
from typing import Any

import polars as pl

from feature_store.excerpts import excerpt
from feature_store.files.file_rows import UNREADABLE
from feature_store.forgetting.id_spellings import IdSpellings
from feature_store.python_cells import with_python_times
from feature_store.row_keys import keys_of_invalid
from feature_store.schema import REJECTED, Table
from feature_store.table_checks import Checked

_HASH_BYTES = 16
_EXAMPLE_CHARS = 60
_IDENTIFYING = {
    "items": ("item_id", "timestamp", "title"),
    "events": ("event_id", "user_id", "item_id", "timestamp", "event"),
    "impressions": ("impression_id", "user_id", "item_id", "timestamp"),
    "users": ("user_id", "timestamp"),
}
"""Columns that tell a person which row of a table it is."""


def rejected_rows(checked: Checked, lines: pl.Series | None = None) -> pl.DataFrame:
    """The invalid rows of a checked frame, in the columns of `rejected`; `lines` gives each row's line in its file.

    `row` is the whole row as given, as JSON text (NaN and infinity as text, times in ISO 8601). `row_number` counts
    from 0 in the frame that contained the row first. `content_hash` covers table, reason and row but not the row
    number, so that the same invalid row is stored once however often it is appended.
    """
    reasons = checked.reasons()
    raw = with_python_times(checked.frame[reasons["row_number"]]).to_dicts() if reasons.height else []
    rows = [json.dumps(_jsonable(row), sort_keys=True, ensure_ascii=False, default=str) for row in raw]
    table = checked.table.name
    # The hashes are stored: other input to them would store known rows a second time.
    hashes = [_content_hash(table, reason, row) for reason, row in zip(reasons["reason"], rows, strict=True)]
    return pl.DataFrame(
        {
            "table": [table] * len(rows),
            "reason": reasons["reason"],
            "row": rows,
            "row_number": reasons["row_number"],
            "content_hash": hashes,
            "line": [None] * len(rows) if lines is None else lines[reasons["row_number"]],
            "key": keys_of_invalid(checked),
            "settled": [None] * len(rows),
            "replaced_by": [None] * len(rows),
        },
        schema=REJECTED.schema(),
    )


def with_unreadable(rejected: pl.DataFrame, unreadable: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The rejected rows, and lines of a file in which no row could be read, as rows of their text alone."""
    if unreadable.is_empty():
        return rejected
    rows = [json.dumps({UNREADABLE: text}, ensure_ascii=False) for text in unreadable["text"]]
    reasons = unreadable["reason"].to_list()
    lines = pl.DataFrame(
        {
            "table": [table.name] * len(rows),
            "reason": reasons,
            "row": rows,
            "row_number": [None] * len(rows),
            "content_hash": [_content_hash(table.name, *parts) for parts in zip(reasons, rows, strict=True)],
            "line": unreadable["line"],
            "key": [None] * len(rows),
            "settled": [None] * len(rows),
            "replaced_by": [None] * len(rows),
        },
        schema=REJECTED.schema(),
    )
    return pl.concat([rejected, lines])


def first_lines(unreadable: pl.DataFrame) -> dict[str, str]:
    """For each reason why lines could not be read, the beginning of the first of them and where it is."""
    first = unreadable.sort("line").unique("reason", keep="first", maintain_order=True)
    rows = first.select("reason", "text", "line").iter_rows()
    return {reason: f"{excerpt(repr(text), _EXAMPLE_CHARS)} in line {line:,}" for reason, text, line in rows}


def mentions_id(rejected: pl.DataFrame, column: str, value: object) -> pl.Series:
    """Boolean mask of the rows of `rejected` that contain this user or item, in any spelling and any cell.

    `column` is user_id or item_id. `IdSpellings` has the rules. A short id may well be a user's and an item's, so for
    one the other of the two columns does not count.
    """
    spellings = IdSpellings(value)
    left_out = "" if spellings.is_long else ({"user_id", "item_id"} - {column}).pop()
    found = [
        spellings.occur_in(_cells(row, left_out)) or spellings.occur_in(reason, column="reason")
        for row, reason in rejected.select("row", "reason").iter_rows()
    ]
    return pl.Series(found, dtype=pl.Boolean)


def bad_and_identifying_cells(row: str, reason: str, table: str) -> tuple[dict[str, str], dict[str, str]]:
    """Of a rejected row: the cells that its reason names, and those that say which row it is, in Python's notation.

    A line that could not be read is the one bad cell, and has no others.
    """
    cells = json.loads(row)
    if set(cells) == {UNREADABLE}:
        return {"": repr(cells[UNREADABLE])}, {}
    bad = [name for name in cells if f"; {name}: expected " in f"; {reason}"]
    # In the order of the reasons.
    bad.sort(key=lambda name: f"; {reason}".index(f"; {name}: expected "))
    names = _IDENTIFYING.get(table, ())
    others = [name for name in names if name not in bad and cells.get(name) is not None]
    shown = {name: "(empty)" if cells[name] is None else repr(cells[name]) for name in bad}
    return shown, {name: repr(cells[name]) for name in others}


def _cells(row: str, left_out: str) -> Any:
    try:
        cells = json.loads(row)
    except ValueError:
        return row  # not written by recmem
    return {name: cell for name, cell in cells.items() if name != left_out} if isinstance(cells, dict) else cells


def _content_hash(*parts: str) -> str:
    return blake2b(json.dumps(parts).encode(), digest_size=_HASH_BYTES).hexdigest()


def _jsonable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _jsonable_cell(cell) for name, cell in row.items()}


def _jsonable_cell(cell: Any) -> Any:
    return str(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell
