"""The tables that a run is given: files by their paths, or frames in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import uuid4

import polars as pl

from feature_store import EVENTS, IMPRESSIONS, ITEMS, USERS, DataError
from feature_store.file_digest import file_digest
from feature_store.files.file_rows import FileRows
from feature_store.files.table_files import read_table
from feature_store.schema import FACTS, ITEM_VECTORS, Table
from recmem.serving.frames import to_polars

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    PolarsFrame: TypeAlias = pl.DataFrame | pl.LazyFrame
    TableInput: TypeAlias = str | os.PathLike[str] | PolarsFrame | pd.DataFrame | pa.Table | pa.RecordBatch
    """A file's path, or a frame of polars, pandas or Arrow."""

TableName = Literal["items", "events", "impressions", "users", "facts", "vectors"]
VECTORS: TableName = "vectors"
STORE_TABLES: dict[TableName, Table] = {
    "items": ITEMS,
    "events": EVENTS,
    "impressions": IMPRESSIONS,
    "users": USERS,
    "facts": FACTS,
}
"""The store's table for each."""

DELTA_LOG = "_delta_log"

DIGEST_ROWS = 1_000_000
"""Rows that are serialised at a time for a frame's digest."""


@dataclass(frozen=True, eq=False)
class Tables:
    """What to ingest; None if the store already has what is needed."""

    items: str | pl.DataFrame | None = None
    events: str | pl.DataFrame | None = None
    impressions: str | pl.DataFrame | None = None
    vectors: str | pl.DataFrame | None = None
    """Vectors of the items, in place of a text encoder."""
    users: str | pl.DataFrame | None = None
    facts: str | pl.DataFrame | None = None

    @classmethod
    def of(
        cls,
        items: TableInput | None,
        events: TableInput | None,
        impressions: TableInput | None,
        users: TableInput | None = None,
        vectors: TableInput | None = None,
        facts: TableInput | None = None,
    ) -> Tables:
        """Tables from paths or from polars, pandas or Arrow frames; DataError for anything else."""
        return cls(
            items=_path_or_frame(items, "items"),
            events=_path_or_frame(events, "events"),
            impressions=_path_or_frame(impressions, "impressions"),
            vectors=_path_or_frame(vectors, "vectors"),
            users=_path_or_frame(users, "users"),
            facts=_path_or_frame(facts, "facts"),
        )

    def given(self) -> dict[TableName, str | pl.DataFrame]:
        """The tables that were given, by name."""
        tables = {name: getattr(self, name) for name in (*STORE_TABLES, VECTORS)}
        return {name: table for name, table in tables.items() if table is not None}

    def read(self, name: TableName, features: Sequence[str] = ()) -> pl.DataFrame | FileRows | None:
        """The rows of a table, None if it was not given; DataError if its file cannot be read.

        `features` are the additional columns of impressions that will be stored.
        """
        table: str | pl.DataFrame | None = getattr(self, name)
        return read_table(table, table=name, features=features) if isinstance(table, str) else table

    def read_vectors(self) -> pl.DataFrame | FileRows | None:
        """The rows of the vectors, None if they were not given; DataError if their file cannot be read."""
        return read_table(self.vectors, table=ITEM_VECTORS.name) if isinstance(self.vectors, str) else self.vectors

    def digests(self) -> dict[str, str]:
        """A digest of the content of each given table, by name; for a URL, whose content may change, always another."""
        return {
            name: _path_digest(table) if isinstance(table, str) else frame_digest(table)
            for name, table in self.given().items()
        }


def frame_digest(frame: pl.DataFrame) -> str:
    """SHA-256 of a frame's columns, dtypes and rows in their order; 64 hex digits."""
    digest = hashlib.sha256(repr(frame.schema).encode())
    for rows in frame.iter_slices(DIGEST_ROWS):
        buffer = BytesIO()
        # The oldest layout writes texts one after the other; newer ones refer to buffers that differ for equal content.
        rows.rechunk().write_ipc(buffer, compression="uncompressed", compat_level=pl.CompatLevel.oldest())
        digest.update(buffer.getbuffer())
    return digest.hexdigest()


def _path_digest(path: str) -> str:
    if "://" in path:
        return uuid4().hex
    place = Path(path)
    if place.is_file():
        return file_digest(place)
    if (place / DELTA_LOG).is_dir():
        # The files of a Delta table are many, and those of earlier versions lie among them; its log names the version.
        place = place / DELTA_LOG
    files = [file for file in sorted(place.rglob("*")) if file.is_file()]
    lines = [f"{file.relative_to(place).as_posix()}\0{file_digest(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _collected(table: pl.LazyFrame, name: TableName) -> pl.DataFrame:
    try:
        return table.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        cause = str(error).partition("\n")[0]
        raise DataError(f"{name}: expected a lazy frame that can be collected, got {cause}. Correct it.") from error


def _path_or_frame(table: Any, name: TableName) -> str | pl.DataFrame | None:
    if table is None or isinstance(table, str):
        return table
    if isinstance(table, os.PathLike):
        return str(os.fspath(table))
    frame = _collected(table, name) if isinstance(table, pl.LazyFrame) else to_polars(table, name)
    for column, dtype in frame.schema.items():
        if dtype == pl.Object:
            raise DataError(
                f"{name}.{column}: expected values of one type, got Python objects. "
                "Convert the column, for example to text."
            )
    return frame
