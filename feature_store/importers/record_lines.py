"""Files with a record a line: JSON, or the Python literals of the oldest Amazon metadata."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from feature_store.importers.import_receipt import FileCount
from feature_store.importers.published_file import Advance, PublishedFile, no_progress

Record = dict[str, Any]
_ESCAPED_SURROGATE = "\\ud"
"""How JSON writes halves of characters beyond the first 65,536; two together are one character."""


def record_of(text: str) -> Record | None:
    """The record of a line; None if it is neither a JSON object nor a Python dictionary of literals."""
    try:
        found = json.loads(text)
    except ValueError:
        found = _literal(text)
    except RecursionError:
        return None
    if _ESCAPED_SURROGATE in text.lower():
        found = _without_surrogates(found)
    return found if isinstance(found, dict) else None


def records(
    file: PublishedFile, required: Sequence[str], count: FileCount, on_lines: Advance = no_progress
) -> Iterator[tuple[int, Record]]:
    """Line and record of each line; those that are no record, or lack a required field, are left out."""
    for line, text in file.lines(on_lines):
        count.n_read += 1
        record = record_of(text)
        if record is None:
            count.leave_out("row: expected a JSON object, got other text", cell=text, line=line)
            continue
        missing = next((name for name in required if record.get(name) in (None, "")), None)
        if missing is not None:
            count.leave_out(f"{missing}: expected a value, got none", line=line)
            continue
        yield line, record


def first_record(file: PublishedFile) -> Record:
    """The first record of a file. Raises DataError if its first line is none."""
    text = file.first_line()
    record = record_of(text)
    if record is None:
        raise file.wrong_line("a first line that is no JSON object", text, "Name the file with a JSON object a line.")
    return record


def missing_fields(file: PublishedFile, record: Record, fields: Sequence[str]) -> None:
    """Raises DataError if a file's first record lacks one of the fields."""
    missing = [name for name in fields if name not in record]
    if missing:
        got = f"a first record without {', '.join(missing)}, with {', '.join(list(record)[:8]) or 'no field'}"
        raise file.refusal(got, "Name the file that has these fields.")


def _without_surrogates(found: Any) -> Any:
    """What JSON gave, without halves of characters, which no encoding takes."""
    return json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))


def _literal(text: str) -> Any:
    # Only literals: nothing of the line is run. Python warns of backslashes such as in "\\d".
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
