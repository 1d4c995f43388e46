"""Tables that an import writes block by block, and that appear in their folder together, once all are whole."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from feature_store.atomic_files import HEX_DIGITS, remove_abandoned
from feature_store.data_errors import DataError

TABLE_NAMES = ("items", "events", "impressions", "users", "candidates")
TIME = pl.Datetime("us", "UTC")
_LAST_SECOND = 253_402_300_799
"""Of the year 9999."""
_WHOLE = re.compile(r"(-?\d{1,9})(\.0)?", re.ASCII)


class TableFiles:
    """Parquet files of a folder, under other names until they are whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mark = uuid.uuid4().hex
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._n_rows: dict[str, int] = {}

    def write(self, table: str, rows: pl.DataFrame) -> None:
        """Appends rows to a table; all blocks of one have the same columns and dtypes."""
        if rows.is_empty():
            return
        arrow = rows.to_arrow()
        if table not in self._writers:
            self._writers[table] = pq.ParquetWriter(self._unfinished(table), arrow.schema, compression="zstd")
            self._n_rows[table] = 0
        self._writers[table].write_table(arrow)
        self._n_rows[table] += rows.height

    def n_rows(self, table: str) -> int:
        """Rows written so far."""
        return self._n_rows.get(table, 0)

    def written(self) -> dict[Path, int]:
        """Path and rows of each table that has any, in the order of `TABLE_NAMES`."""
        return {self._folder / f"{name}.parquet": self._n_rows[name] for name in TABLE_NAMES if name in self._n_rows}

    def finish(self) -> None:
        """Puts the tables into their places."""
        self.close()
        for table in self._writers:
            os.replace(self._unfinished(table), self._folder / f"{table}.parquet")

    def close(self) -> None:
        """Ends the files; they can be read after that."""
        for writer in self._writers.values():
            writer.close()

    def remove_unfinished(self) -> None:
        """Removes what `finish` has not put into its place."""
        self.close()
        for table in self._writers:
            self._unfinished(table).unlink(missing_ok=True)

    def _unfinished(self, table: str) -> Path:
        return self._folder / f".{table}-{self._mark}.parquet"


@contextmanager
def tables_in(folder: Path) -> Iterator[TableFiles]:
    """The tables of a folder, which is made if it is missing: all of them appear at the end, none after an error.

    A folder that was missing is removed again after an error.

    Raises DataError if the folder has tables already, since an import may write fewer than an earlier one did.
    """
    present = [f"{name}.parquet" for name in TABLE_NAMES if (folder / f"{name}.parquet").exists()]
    if present:
        got = f"{str(folder)!r} with {', '.join(present)}"
        raise DataError(f"out: expected a folder without tables, got {got}. Name another one, or remove them.")
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{str(folder)!r} ({error.strerror})"
        raise DataError(f"out: expected a folder that can be written, got {got}. Name another one.") from error
    remove_abandoned(path for name in TABLE_NAMES for path in folder.glob(f".{name}-{HEX_DIGITS}.parquet"))
    tables = TableFiles(folder)
    try:
        yield tables
        tables.finish()
    except BaseException:
        tables.remove_unfinished()
        _remove_empty(missing)
        raise
    tables.remove_unfinished()


def _remove_empty(folders: Sequence[Path]) -> None:
    """Removes folders, the innermost first, until one is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def micros_of(time: object, *, per_second: int = 1) -> int | None:
    """An epoch time of so many units a second in microseconds; None for no number, or no time from 1970 to 9999."""
    if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time <= _LAST_SECOND * per_second:
        return None
    return round(time / per_second * 1_000_000)


def whole_number(value: object) -> int | None:
    """A whole number of up to nine digits, such as "1998", "1998.0" or "-750"; None for others."""
    found = _WHOLE.fullmatch(str(value).strip())
    return int(found[1]) if found else None


def blocks_of(rows: Iterator[tuple[object, ...]], schema: pl.Schema, n_rows: int = 100_000) -> Iterator[pl.DataFrame]:
    """The rows as frames of at most `n_rows` each."""
    block: list[tuple[object, ...]] = []
    for row in rows:
        block.append(row)
        if len(block) == n_rows:
            yield pl.DataFrame(block, schema=schema, orient="row")
            block = []
    if block:
        yield pl.DataFrame(block, schema=schema, orient="row")
