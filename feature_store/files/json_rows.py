"""JSON lines, or an array of objects: a row for each object that can be read."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import polars as pl

from feature_store.cell_parsing import LIST_SEPARATOR
from feature_store.data_errors import DataError
from feature_store.files.file_content import Text, UnreadableFileError
from feature_store.files.file_rows import BadLine, FileRows, described, unreadable_lines
from feature_store.schema import Table

_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)|\n\s*,?\s*(?=\{)")
"""Where an array that has a broken element goes on."""
_HALF_PAIR = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
"""Half of a surrogate pair, which polars reads as another character."""
_NO_ELEMENT = re.compile(r"[\s,]*")
_LARGEST = 10**37
"""Whole numbers are read as 128-bit integers up to here."""
_MAX_DIGITS = 40
_ONE_OBJECT = (
    "it is one JSON object: write an array of objects, or one object per line, as pandas does with "
    "orient='records', lines=True"
)
_N_BAD_SHOWN = 3

Row = dict[str, Any]


def read_json(text: Text, table: Table) -> FileRows:
    """The rows of JSON lines or of an array of objects, each with its line number.

    A column that holds text in one row and a number in another is read as text. NaN and Infinity, which JSON does not
    know, are taken as the numbers that Python writes so; the table's rules judge them.

    Raises:
        DataError: not one row can be read.
        UnreadableFileError: the content is another kind of JSON.
    """
    if text.lines.lstrip()[:1] == b"[":
        objects, bad = _from_array(text.lines.decode())
    else:
        frame = None if text.bad_lines else _clean_lines(text.lines)
        if frame is not None:
            return FileRows(frame, _line_numbers(text.lines, frame.height), warnings=text.warnings)
        objects, bad = _from_lines(text)
    objects, nested = _without_nested(objects)
    bad += nested
    if not objects:
        if bad:
            raise _all_bad(bad, table)
        return FileRows(pl.DataFrame())
    names = list(dict.fromkeys(name for _, row in objects for name in row))
    frame = pl.DataFrame([_column(name, [row.get(name) for _, row in objects]) for name in names])
    lines = pl.Series([number for number, _ in objects], dtype=pl.Int64)
    return FileRows(frame, lines, unreadable_lines(bad), text.warnings)


def _clean_lines(lines: bytes) -> pl.DataFrame | None:
    """The rows as polars reads them; None if a line is broken, or a column has values of several kinds."""
    if _HALF_PAIR.search(lines):
        return None
    try:
        frame = pl.read_ndjson(lines, infer_schema_length=None)
    except pl.exceptions.PolarsError:
        return None
    if frame.height == 1 and frame.width and all(isinstance(dtype, pl.Struct) for dtype in frame.dtypes):
        raise UnreadableFileError(_ONE_OBJECT)
    texts = frame.lazy().select(_may_be_mixed(pl.col(pl.String)).any())
    return None if texts.collect_schema() and any(texts.collect().row(0)) else frame


def _may_be_mixed(text: pl.Expr) -> pl.Expr:
    """Whether polars may have made this text from an object, a list or a number."""
    return text.str.starts_with("{") | text.str.starts_with("[") | text.str.ends_with(".0")


def _line_numbers(lines: bytes, n_rows: int) -> pl.Series | None:
    """Each row's line number; None if polars counted otherwise."""
    if lines.rstrip(b"\n").count(b"\n") == n_rows - 1 and not lines.startswith(b"\n"):
        return pl.int_range(1, n_rows + 1, eager=True)
    numbers = [number for number, line in enumerate(lines.split(b"\n"), start=1) if line.strip()]
    return pl.Series(numbers, dtype=pl.Int64) if len(numbers) == n_rows else None


def _from_lines(text: Text) -> tuple[list[tuple[int, Row]], list[BadLine]]:
    objects: list[tuple[int, Row]] = []
    bad: list[BadLine] = []
    for number, line in enumerate(text.lines.decode().split("\n"), start=1):
        if number in text.bad_lines:
            bad.append(text.bad_lines[number])
        elif line.strip():
            parsed = _parsed(line)
            if isinstance(parsed, dict):
                objects.append((number, parsed))
            else:
                bad.append(BadLine(number, _not_a_row(parsed), line.strip()))
    if not objects and bad:
        whole = _parsed(text.lines.decode())
        if isinstance(whole, dict):
            raise UnreadableFileError(_ONE_OBJECT)
    return objects, bad


def _from_array(text: str) -> tuple[list[tuple[int, Row]], list[BadLine]]:
    """The objects of an array, each by itself: a broken one costs no other."""
    objects: list[tuple[int, Row]] = []
    bad: list[BadLine] = []
    at = text.index("[") + 1
    counted_to = 0
    number = 1
    while (start := _NO_ELEMENT.match(text, at).end()) < len(text) and text[start] != "]":  # type: ignore[union-attr]
        number += text.count("\n", counted_to, start)
        counted_to = start
        try:
            element, at = _DECODER.raw_decode(text, start)
            _refuse_surrogates(element, text[start:at])
        except (ValueError, RecursionError) as error:
            element = _Fault(_why(error))
            following = _NEXT_OBJECT.search(text, start + 1)
            at = len(text) if following is None else following.end()
        if isinstance(element, dict):
            objects.append((number, element))
        else:
            bad.append(BadLine(number, _not_a_row(element), text[start:at].strip().rstrip(",")))
    return objects, bad


class _BadValueError(ValueError):
    """A number that no column can hold."""


@dataclass(frozen=True)
class _Fault:
    """Text that is no JSON."""

    reason: str


def _parsed(text: str) -> Any:
    """The value, or the fault."""
    try:
        value = _DECODER.decode(text.strip())
        _refuse_surrogates(value, text)
    except (ValueError, RecursionError) as error:
        return _Fault(_why(error))
    return value


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"a fault ({error.msg[:1].lower()}{error.msg[1:]})"
    return str(error) if isinstance(error, _BadValueError) else "a value that is too long or too deep"


def _refuse_surrogates(value: Any, text: str) -> None:
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise _BadValueError("text with an unpaired surrogate") from error


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _BadValueError("a number beyond the range of 64-bit floats")
    return number


def _int(text: str) -> int:
    number = int(text) if len(text) <= _MAX_DIGITS else _LARGEST
    if abs(number) >= _LARGEST:
        raise _BadValueError("a whole number beyond the range of 128 bits")
    return number


_DECODER = json.JSONDecoder(parse_float=_float, parse_int=_int)


def _not_a_row(parsed: Any) -> str:
    got = parsed.reason if isinstance(parsed, _Fault) else _kind(parsed)
    return f"line: expected a JSON object, got {got}"


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else "one value"


def _without_nested(objects: list[tuple[int, Row]]) -> tuple[list[tuple[int, Row]], list[BadLine]]:
    """The rows without those that have an object where other rows have text or a number."""
    n_nested: Counter[str] = Counter()
    n_plain: Counter[str] = Counter()
    for _, row in objects:
        for name, value in row.items():
            if value is not None:
                (n_nested if _is_nested(value) else n_plain)[name] += 1
    mixed = [name for name in n_nested if n_plain[name]]
    if not mixed:
        return objects, []
    kept = []
    bad = []
    for number, row in objects:
        odd = next((name for name in mixed if _is_nested(row.get(name))), None)
        if odd is None:
            kept.append((number, row))
        else:
            reason = f"{odd}: expected text or a number as in other rows, got {_kind(row[odd])}"
            bad.append(BadLine(number, reason, json.dumps(row, ensure_ascii=False)))
    return kept, bad


def _is_nested(value: Any) -> bool:
    """Whether this is an object, or a list with anything but text and numbers in it."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(part, dict | list) for part in value))


def _column(name: str, cells: list[Any]) -> pl.Series:
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds == {int}:
        largest = max(abs(cell) for cell in cells if cell is not None)
        return pl.Series(name, cells, pl.Int64 if largest < 2**63 else pl.Int128)
    is_id = name.endswith("_id")
    if kinds <= {int, float} and not is_id:
        return pl.Series(name, cells, pl.Float64 if kinds else pl.Null)
    if len(kinds) <= 1:
        try:
            return pl.Series(name, cells)
        except (pl.exceptions.PolarsError, TypeError, OverflowError):
            pass  # lists or objects that differ from row to row
    return pl.Series(name, [_as_text(cell) for cell in cells], pl.String)


def _as_text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool | dict):
        return json.dumps(cell, ensure_ascii=False)
    if isinstance(cell, list):
        parts = [_as_text(part) for part in cell]
        return LIST_SEPARATOR.join(part for part in parts if part is not None)
    if isinstance(cell, float) and math.isnan(cell):
        return None
    # 12.0 is the id 12: pandas writes whole numbers so, if another row has none.
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _all_bad(bad: list[BadLine], table: Table) -> DataError:
    shown = "; ".join(described(line) for line in bad[:_N_BAD_SHOWN])
    n_lines = "1 line" if len(bad) == 1 else f"{len(bad):,} lines"
    remedy = "Write one JSON object per line."
    return DataError(f"{table.name}.path: expected rows, got none from {n_lines}: {shown}. {remedy}")
