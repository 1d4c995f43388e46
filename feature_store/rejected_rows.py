"""Bad rows as rows of the `rejected` table: word for word, with the reason, to be mended and sent again."""

from __future__ import annotations

import json
import math
from hashlib import blake2b
from typing import Any

import polars as pl

from feature_store.data_errors import as_python
from feature_store.schema import REJECTED, Checked

_HASH_BYTES = 16


def rejected_rows(checked: Checked) -> pl.DataFrame:
    """The bad rows of a checked frame, in the columns of `rejected`.

    `row` is the row as it came, every column, as JSON text (NaN and infinity as text, times in ISO form). `row_number`
    counts from 0 in the frame that brought it first. `content_hash` is over table, reason and row, not over the row
    number: the same bad row is kept once, however often and in whatever frame it comes.
    """
    reasons = checked.reasons()
    raw = as_python(checked.frame[reasons["row_number"]]).to_dicts() if reasons.height else []
    rows = [json.dumps(_jsonable(row), sort_keys=True, ensure_ascii=False, default=str) for row in raw]
    table = checked.table.name
    hashes = [_content_hash(table, reason, row) for reason, row in zip(reasons["reason"], rows, strict=True)]
    return pl.DataFrame(
        {
            "table": [table] * len(rows),
            "reason": reasons["reason"],
            "row": rows,
            "row_number": reasons["row_number"],
            "content_hash": hashes,
        },
        schema=REJECTED.schema(),
    )


def names_id(refused: pl.DataFrame, column: str, value: object) -> pl.Series:
    """Which rows of `rejected` came with this user or item, whatever was wrong with them: Boolean."""
    cells = [json.loads(row).get(column) for row in refused["row"]]
    return pl.Series([cell is not None and str(cell) == str(value) for cell in cells], dtype=pl.Boolean)


def _content_hash(*parts: str) -> str:
    return blake2b(json.dumps(parts).encode(), digest_size=_HASH_BYTES).hexdigest()


def _jsonable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _jsonable_cell(cell) for name, cell in row.items()}


def _jsonable_cell(cell: Any) -> Any:
    return str(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell
