"""Writes rejected rows to a file for correction, and puts corrected rows back into their tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from feature_store.atomic_files import write_text_atomically
from feature_store.data_errors import DataError
from feature_store.files.file_rows import UNREADABLE
from feature_store.receipts import ResubmitReceipt
from feature_store.rejected_rows import rejected_rows
from feature_store.schema import EVENTS, IMPRESSIONS, ITEMS, USERS
from feature_store.store import Store

_TABLES = {table.name: table for table in (ITEMS, EVENTS, IMPRESSIONS, USERS)}
_KEYS = ("content_hash", "table", "row")
_WRITE_OUT = "Write the rows out with `recmem rejected --out`, and change only the contents of `row`."
_MAX_LINES_NAMED = 5


def write_rejected(rejected: pl.DataFrame, path: str | Path) -> None:
    """Writes rows of `Store.rejected()` as JSON lines: content_hash, table, reason, and the row as an object."""
    lines = (
        json.dumps({**line, "row": json.loads(line["row"])}, ensure_ascii=False)
        for line in rejected.select("content_hash", "table", "reason", "row").to_dicts()
    )
    write_text_atomically(Path(path), "".join(f"{line}\n" for line in lines))


def read_corrected(path: str | Path) -> list[dict[str, Any]]:
    """The corrected lines of a file from `write_rejected`. Raises DataError with the numbers of malformed lines."""
    try:
        # At line feeds only: `splitlines` also splits at characters that JSON leaves as they are, such as U+2028.
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"rows: expected JSON lines, got {str(path)!r} ({error}). {_WRITE_OUT}") from error
    corrected = []
    malformed = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            parsed = json.loads(line)
        except ValueError:
            parsed = None
        if _is_corrected_row(parsed):
            corrected.append(parsed)
        else:
            malformed.append(number)
    if malformed:
        numbers = ", ".join(map(str, malformed[:_MAX_LINES_NAMED]))
        raise DataError(
            f"rows: expected {', '.join(_KEYS)} on every line, got lines without them: {numbers}. {_WRITE_OUT}"
        )
    return corrected


def resubmit(store: Store, lines: Iterable[Mapping[str, Any]]) -> ResubmitReceipt:
    """Appends corrected rows to their tables, with the usual validation, and removes their originals from `rejected`.

    A row that is still invalid stays in `rejected`, with its new reason. Rows are appended before any original is
    removed, and appending twice adds nothing, so a killed call can be repeated. The text of a line that could not be
    read is to be replaced by the row's columns; until then it stays. Raises DataError for a row that is not in
    `rejected`.
    """
    given = list(lines)
    corrected = [_without_text(line) for line in given if set(line["row"]) != {UNREADABLE}]
    unknown = {line["content_hash"] for line in given} - set(store.rejected()["content_hash"])
    if unknown:
        raise DataError(
            f"rows: expected rejected rows, got {len(unknown)} rows that are not, or no longer, rejected. {_WRITE_OUT}"
        )
    # Every group is validated before the first append: if one cannot be read as a table, nothing changes.
    groups = [(_TABLES[name], group, _frame(group)) for (name, _), group in _by_table_and_types(corrected).items()]
    rejected_again = [rejected_rows(store.check(table, frame)) for table, _, frame in groups]
    receipts = []
    resolved: list[str] = []
    for (table, group, frame), rejected in zip(groups, rejected_again, strict=True):
        receipts.append(store.append(table, frame))
        new_hashes = dict(zip(rejected["row_number"], rejected["content_hash"], strict=True))
        for row_number, line in enumerate(group):
            # A row that was resubmitted unchanged has the hash of its original, which therefore stays.
            if new_hashes.get(row_number) != line["content_hash"]:
                resolved.append(line["content_hash"])
    store.discard_rejected(resolved)
    n_accepted = len(corrected) - sum(len(rejected) for rejected in rejected_again)
    return ResubmitReceipt(len(given), n_accepted, len(given) - n_accepted, tuple(receipts))


def _without_text(line: Mapping[str, Any]) -> dict[str, Any]:
    """The corrected row without the text of the line that could not be read, if that was left in it."""
    return {**line, "row": {name: cell for name, cell in line["row"].items() if name != UNREADABLE}}


def _is_corrected_row(line: object) -> bool:
    return (
        isinstance(line, dict)
        and all(key in line for key in _KEYS)
        and isinstance(line["row"], dict)
        and line["table"] in _TABLES
        and isinstance(line["content_hash"], str)
    )


_CellTypes = frozenset[tuple[str, type]]


def _by_table_and_types(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, _CellTypes], list[Mapping[str, Any]]]:
    """The lines grouped by table and cell types: a column may hold a number in one line and text in another."""
    groups: dict[tuple[str, _CellTypes], list[Mapping[str, Any]]] = {}
    for line in lines:
        types = frozenset((name, type(cell)) for name, cell in line["row"].items())
        groups.setdefault((line["table"], types), []).append(line)
    return groups


def _frame(lines: list[Mapping[str, Any]]) -> pl.DataFrame:
    try:
        return pl.DataFrame([line["row"] for line in lines], infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        cause = str(error).partition("\n")[0]
        remedy = "Use text and numbers only."
        raise DataError(f"rows: expected cells of a table, got values that are not ({cause}). {remedy}") from error
