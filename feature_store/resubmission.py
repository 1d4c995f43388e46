"""Rejected rows out to an editor, and back in once they are mended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from feature_store.atomic_files import write_whole
from feature_store.data_errors import DataError
from feature_store.rejected_rows import rejected_rows
from feature_store.schema import EVENTS, IMPRESSIONS, ITEMS
from feature_store.store import Receipt, Store

TABLES = {table.name: table for table in (ITEMS, EVENTS, IMPRESSIONS)}
_KEYS = ("content_hash", "table", "row")
_WRITE_OUT = "Write the rows out with `recmem rejected --out`, and change only what stands under `row`."


@dataclass(frozen=True)
class ResubmitReceipt:
    """What became of mended rows: `n_in == n_accepted + n_still_bad`."""

    n_in: int
    n_accepted: int
    """Rows that are in their table now, and no longer in `rejected`."""
    n_still_bad: int
    """Rows that are in `rejected` as they are now, with what is wrong with them now."""
    receipts: tuple[Receipt, ...]
    """One per table, and per form of its rows."""


def write_rejected(rejected: pl.DataFrame, path: str | Path) -> None:
    """Rows of `Store.rejected()` as JSON lines: content_hash, table, reason, and the row itself as an object."""
    lines = (
        json.dumps({**line, "row": json.loads(line["row"])}, ensure_ascii=False)
        for line in rejected.select("content_hash", "table", "reason", "row").to_dicts()
    )
    write_whole(Path(path), "".join(f"{line}\n" for line in lines))


def read_corrected(path: str | Path) -> list[dict[str, Any]]:
    """The lines that `write_rejected` wrote and a person changed; DataError with the number of each bad line."""
    found, bad = [], []
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"rows: expected JSON lines, got {str(path)!r} ({error}). {_WRITE_OUT}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except ValueError:
            bad.append(number)
            continue
        if not _is_line(found[-1]):
            bad.append(number)
    if bad:
        told = ", ".join(map(str, bad[:5]))
        raise DataError(f"rows: expected {', '.join(_KEYS)} on every line, got others on line {told}. {_WRITE_OUT}")
    return found


def resubmit(store: Store, lines: Iterable[Mapping[str, Any]]) -> ResubmitReceipt:
    """Puts mended rows into their tables through the usual checks, and takes what they replace out of `rejected`.

    A row that is still bad stays rejected, with its new reason. Rows go in before anything is taken out, and nothing
    goes in twice: a call that was killed can be repeated. Raises DataError for a row that was not rejected.
    """
    asked = list(lines)
    strangers = {line["content_hash"] for line in asked} - set(store.rejected()["content_hash"])
    if strangers:
        raise DataError(f"rows: expected rejected rows, got {len(strangers)} that are not (any more). {_WRITE_OUT}")
    # All are checked before the first is put in: what cannot even be read as a table changes nothing.
    groups = [(name, mine, _frame(mine)) for (name, _), mine in _alike(asked).items()]
    refused = [rejected_rows(store.check(TABLES[name], frame)) for name, _, frame in groups]
    receipts, replaced, n_still_bad = [], [], 0
    for (name, mine, frame), bad in zip(groups, refused, strict=True):
        now = dict(zip(bad["row_number"], bad["content_hash"], strict=True))
        receipts.append(getattr(store, f"append_{name}")(frame))
        n_still_bad += len(now)
        replaced += [line["content_hash"] for row, line in enumerate(mine) if now.get(row) != line["content_hash"]]
    store.discard_rejected(replaced)
    return ResubmitReceipt(len(asked), len(asked) - n_still_bad, n_still_bad, tuple(receipts))


def _is_line(line: object) -> bool:
    return (
        isinstance(line, dict)
        and all(key in line for key in _KEYS)
        and isinstance(line["row"], dict)
        and line["table"] in TABLES
        and isinstance(line["content_hash"], str)
    )


def _alike(lines: list[Mapping[str, Any]]) -> dict[tuple[str, frozenset[tuple[str, type]]], list[Mapping[str, Any]]]:
    """The lines by table and by the types of their cells: a column may be a number in one and a text in another."""
    groups: dict[tuple[str, frozenset[tuple[str, type]]], list[Mapping[str, Any]]] = {}
    for line in lines:
        kinds = frozenset((name, type(cell)) for name, cell in line["row"].items())
        groups.setdefault((line["table"], kinds), []).append(line)
    return groups


def _frame(lines: list[Mapping[str, Any]]) -> pl.DataFrame:
    try:
        return pl.DataFrame([line["row"] for line in lines], infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        cause = str(error).partition("\n")[0]
        raise DataError(f"rows: expected cells of a table, got others ({cause}). Give texts and numbers.") from error
