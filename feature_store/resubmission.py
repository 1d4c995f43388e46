"""Writes rejected rows to a file for correction, and puts corrected rows back into their tables."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from feature_store._delta import TableError
from feature_store.atomic_files import write_text_atomically
from feature_store.data_errors import DataError
from feature_store.files.file_rows import UNREADABLE
from feature_store.receipts import Receipt, ResubmitReceipt, examples_of
from feature_store.rejected_rows import rejected_rows
from feature_store.schema import EVENTS, FACTS, IMPRESSIONS, ITEMS, REJECTED, USERS, Table
from feature_store.settled_rows import RESUBMITTED, STORED, WRITTEN_OFF, how_settled
from feature_store.store import Store
from feature_store.warnings.time_warnings import is_about_one_time, with_line

_TABLES = {table.name: table for table in (ITEMS, EVENTS, IMPRESSIONS, USERS, FACTS)}
_KEYS = ("content_hash", "table", "row")
_WRITE_OUT = "Write the rows out with `recmem rejected --out`, and change only the contents of `row`."
_MAX_LINES_NAMED = 5
FILE_LINE = "line in the file of corrected rows"
_ROW = re.compile(r"\brow ([0-9]+)\b")
"""Where a warning names a row of the frame."""


def write_correction_file(rejected: pl.DataFrame, path: str | Path) -> None:
    """Writes rows of `Store.rejected()` as JSON lines: content_hash, table, reason, the row's place, and the row.

    The place is `line`, which counts from 1 and counts the header, or `row_number`, which counts from 0, for rows of
    files without lines. The row is an object.
    """
    columns = ("content_hash", "table", "reason", "line", "row_number", "row")
    written = []
    for line in rejected.select(columns).to_dicts():
        del line["row_number" if line["row_number"] is None or line["line"] is not None else "line"]
        written.append(json.dumps({**line, "row": json.loads(line["row"])}, ensure_ascii=False))
    write_text_atomically(Path(path), "".join(f"{line}\n" for line in written))


def read_corrected(path: str | Path) -> list[dict[str, Any]]:
    """The corrected lines of a file from `write_correction_file`, each with its number in it, from 1, as `FILE_LINE`.

    Raises DataError with the numbers of malformed lines.
    """
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
            corrected.append({**parsed, FILE_LINE: number})
        else:
            malformed.append(number)
    if malformed:
        numbers = ", ".join(map(str, malformed[:_MAX_LINES_NAMED]))
        raise DataError(
            f"rows: expected {', '.join(_KEYS)} on every line, got lines without them: {numbers}. {_WRITE_OUT}"
        )
    return corrected


def resubmit(store: Store, lines: Iterable[Mapping[str, Any]]) -> ResubmitReceipt:
    """Appends corrected rows to their tables, with the usual validation, and settles their originals in `rejected`.

    A row that is still invalid stays in `rejected`, in its new form and with its new reason. Rows are appended before
    any original is settled, and appending twice adds nothing, so a killed call can be repeated. So can a finished one:
    rows that it has stored are left alone, however the file was edited since. The text of a line that could not be read
    is to be replaced by the row's columns; until then it stays. Raises DataError for a row that was never rejected.
    """
    given = [{FILE_LINE: number, **line} for number, line in enumerate(lines, start=1)]
    originals = _Originals.of(store.read(REJECTED))
    unknown = {line["content_hash"] for line in given} - originals.settled.keys()
    if unknown:
        raise DataError(
            f"rows: expected rejected rows, got {len(unknown)} rows that are not, or no longer, rejected. {_WRITE_OUT}"
        )
    waiting = [line for line in given if not originals.are_resubmitted(line["content_hash"])]
    corrected = [_without_text(line) for line in waiting if set(line["row"]) != {UNREADABLE}]
    # Every block is validated before the first append: if one cannot be read as a table, nothing changes.
    blocks = [_Block(_TABLES[name], rows, _frame(rows)) for (name, _), rows in _by_table_and_types(corrected).items()]
    for block in blocks:
        block.check(store)
    for block in blocks:
        block.append_to(store)
    replaced = {originals.newest(old): new for block in blocks for old, new in block.corrections.items()}
    # A row that now has the content of another one keeps that one open.
    is_open = set(replaced.values())
    for how in (RESUBMITTED, STORED, WRITTEN_OFF):
        settled = {originals.newest(old) for block in blocks for old, as_ in block.settled.items() if as_ == how}
        if settled - is_open:
            store.settle_rejected(sorted(settled - is_open), how)
    store.replace_rejected({old: new for old, new in replaced.items() if old not in is_open})
    n_accepted = sum(receipt.n_new + receipt.n_duplicate for block in blocks for receipt in block.receipts)
    n_unread = sum(
        set(line["row"]) == {UNREADABLE} and not originals.are_settled(line["content_hash"]) for line in waiting
    )
    n_still_bad = n_unread + sum(receipt.n_rejected for block in blocks for receipt in block.receipts)
    receipts = tuple(_as_one([block for block in blocks if block.table is table]) for table in _tables_of(blocks))
    n_known = len(given) - n_accepted - n_still_bad
    return ResubmitReceipt(len(given), n_accepted, n_still_bad, receipts, n_known, n_unread)


@dataclass(frozen=True)
class _Originals:
    """The rows of `rejected` that corrected rows come from."""

    settled: Mapping[str, str | None]
    """How each was dealt with, by content hash."""
    replaced_by: Mapping[str, str | None]

    @classmethod
    def of(cls, rejected: pl.DataFrame) -> _Originals:
        hashes = rejected["content_hash"]
        settled = dict(zip(hashes, rejected["settled"], strict=True))
        return cls(settled, dict(zip(hashes, rejected["replaced_by"], strict=True)))

    def newest(self, content_hash: str) -> str:
        """The correction that took the row's place last; the row itself if there was none."""
        while (later := self.replaced_by.get(content_hash)) is not None:
            content_hash = later
        return content_hash

    def are_resubmitted(self, content_hash: str) -> bool:
        """Whether the row was corrected and stored by an earlier call."""
        return self.settled.get(self.newest(content_hash)) == RESUBMITTED

    def are_settled(self, content_hash: str) -> bool:
        """Whether the row was dealt with in any way, such as written off."""
        return self.settled.get(self.newest(content_hash)) is not None


@dataclass
class _Block:
    """Rows that are appended together, because they are of one table and have cells of the same types."""

    table: Table
    lines: Sequence[Mapping[str, Any]]
    frame: pl.DataFrame
    receipts: list[Receipt] = field(default_factory=list)
    """One, once the rows are appended."""
    settled: dict[str, str] = field(default_factory=dict)
    """Content hashes of the lines that need no more attention -> how they were dealt with."""
    corrections: dict[str, str] = field(default_factory=dict)
    """Content hashes of the lines whose rows were rejected again -> those of their new form."""

    def check(self, store: Store) -> None:
        """Raises DataError, with the numbers of the lines, if the rows cannot be read as a table."""
        try:
            store.check(self.table, self.frame)
        except TableError:
            raise  # not for the rows' sake
        except DataError as error:
            numbers = ", ".join(str(line[FILE_LINE]) for line in self.lines[:_MAX_LINES_NAMED])
            more = ", ..." if len(self.lines) > _MAX_LINES_NAMED else ""
            expected = "lines that can be added"
            raise DataError(
                f"{error}\nrows: expected {expected}, got {numbers}{more}. Correct them: nothing was added."
            ) from error

    def append_to(self, store: Store) -> None:
        """Appends the rows, and notes what became of each."""
        # As the append will find them: rows of other blocks may have decided the types of ids.
        checked = store.check(self.table, self.frame)
        receipt = store.append(self.table, self.frame)
        rejected = rejected_rows(checked)
        how = how_settled(rejected, store.read(REJECTED).filter(table=self.table.name))
        file_lines = pl.Series([line[FILE_LINE] for line in self.lines], dtype=pl.Int64)
        examples = examples_of(checked, file_lines, among=how.is_null())
        # The corrected rows are no log of their own: that they have one time is no sign of a wrong column.
        of_rows = [with_line(warning, file_lines) for warning in receipt.warnings if not is_about_one_time(warning)]
        warnings = tuple(_ROW.sub(partial(_line_of, file_lines), warning) for warning in of_rows)
        self.receipts.append(replace(receipt, examples=examples, warnings=warnings))
        invalid = dict(zip(rejected["row_number"], zip(rejected["content_hash"], how, strict=True), strict=True))
        for row_number, line in enumerate(self.lines):
            if row_number not in invalid:
                self.settled[line["content_hash"]] = RESUBMITTED
                continue
            new_hash, known_as = invalid[row_number]
            if known_as is None:
                self.corrections[line["content_hash"]] = new_hash
            else:
                # Not as resubmitted, which would refuse a later correction of a row that is not stored.
                self.settled[line["content_hash"]] = WRITTEN_OFF if known_as == WRITTEN_OFF else STORED


def _line_of(file_lines: pl.Series, row: re.Match[str]) -> str:
    """What a warning says instead of "row 3"; the same where that is part of a cell."""
    number = int(row[1])
    return f"line {file_lines[number]}" if number < len(file_lines) else row[0]


def _tables_of(blocks: Sequence[_Block]) -> list[Table]:
    return list(dict.fromkeys(block.table for block in blocks))


def _as_one(blocks: Sequence[_Block]) -> Receipt:
    """The receipt of blocks of one table."""
    parts = [receipt for block in blocks for receipt in block.receipts]
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for part in parts:
        reasons.update(part.reasons)
        examples = part.examples | examples
    return Receipt(
        table=parts[0].table,
        n_in=sum(part.n_in for part in parts),
        n_new=sum(part.n_new for part in parts),
        n_duplicate=sum(part.n_duplicate for part in parts),
        n_rejected=sum(part.n_rejected for part in parts),
        version=parts[-1].version,
        reasons=dict(reasons.most_common()),
        warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
        examples=examples,
        n_known=sum(part.n_known for part in parts),
    )


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
