"""Candidates in Parquet files: how they are read, and whether the rows of each query stand together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_store import DataError
from feature_store.timestamps import parse_timestamps

QUERY = ("user_id", "timestamp", "impression_id")
"""Columns whose cells tell one query from another."""
MOST_RUNS = 3_000_000
"""Runs of rows of one query that are held to find out whether a query comes back: some 100 MB."""

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class CandidateFiles:
    """Parquet files of one schema, read one after the other."""

    files: tuple[Path, ...]
    schema: pa.Schema
    n_rows: int

    @classmethod
    def open(cls, path: str | Path) -> CandidateFiles:
        """The file, or the folder's .parquet files in order of their names; DataError where they cannot be used."""
        files = _files(Path(path))
        found = [_footer(file) for file in files]
        schema = found[0][0]
        for file, (other, _) in zip(files, found, strict=True):
            if not other.equals(schema):
                raise _refusal(f"the columns of {files[0].name} in {file.name} too, got others", "Write them alike.")
        return cls(files, schema, sum(n_rows for _, n_rows in found))

    def batches(self, rows: int, columns: list[str] | None = None) -> Generator[pa.RecordBatch, None, None]:
        """All rows in order, at most `rows` at a time; all columns, or the given ones."""
        for file in self.files:
            try:
                with pq.ParquetFile(file) as opened:
                    batches = opened.iter_batches(batch_size=rows, columns=columns)
                    yield from (batch for batch in batches if batch.num_rows)
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno:
                    raise  # the drive's fault, not the file's
                raise _unreadable(file, error) from error

    def table(self) -> pa.Table:
        """All rows at once."""
        return pa.Table.from_batches(self.batches(max(self.n_rows, 1)), self.schema)

    def is_grouped(self, rows: int) -> bool:
        """Whether the rows of each query stand together, as far as can be told from `MOST_RUNS` runs."""
        names = [name for name in QUERY if name in self.schema.names]
        runs, n_runs, last = [np.empty(0, np.uint64)], 0, None
        for batch in self.batches(rows, names):
            hashes = query_hashes(batch)
            begins = np.ones(len(hashes), bool)
            begins[1:] = hashes[1:] != hashes[:-1]
            begins[:1] = hashes[:1] != last
            runs.append(hashes[begins])
            n_runs, last = n_runs + len(runs[-1]), hashes[-1]
            if n_runs > MOST_RUNS:
                return False
        return n_runs == len(np.unique(np.concatenate(runs)))

    def grouped(self, rows: int) -> Generator[pa.Table, None, None]:
        """Tables of about `rows` rows, or of one longer query, where the rows of each query stand together."""
        waiting, n_waiting, last = list[pa.RecordBatch](), 0, np.empty(0, np.uint64)
        for batch in self.batches(rows):
            hashes = query_hashes(batch)
            begins = np.flatnonzero(np.diff(np.concatenate([last, hashes]))) + 1 - len(last)
            cut, last = 0, hashes[-1:]
            if len(begins) and n_waiting + len(hashes) >= rows:
                cut = int(begins[-1])
                yield pa.Table.from_batches([*waiting, batch.slice(0, cut)], self.schema)
                waiting, n_waiting = [], 0
            waiting.append(batch.slice(cut))
            n_waiting += len(hashes) - cut
        if waiting:
            yield pa.Table.from_batches(waiting, self.schema)


def query_hashes(batch: pa.RecordBatch, *, seed: int = 0) -> Hashes:
    """A number for the query of each row: the same for the same query, in all batches."""
    names = [name for name in QUERY if name in batch.schema.names]
    keys = as_frame(pa.Table.from_batches([batch.select(names)]))
    # Categories are numbered anew in every batch, their words are not; and a time can be written in several ways.
    words = keys.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    if "timestamp" in words.columns and not words.schema["timestamp"].is_numeric():
        words = words.with_columns(parse_timestamps(words["timestamp"])[0])
    hashes: Hashes = words.select(pl.struct(pl.all()).hash(seed).alias("hash"))["hash"].to_numpy()
    return hashes


def as_frame(table: pa.Table) -> pl.DataFrame:
    """The table for polars, as a frame however it is made."""
    return cast(pl.DataFrame, pl.from_arrow(table))


def _files(path: Path) -> tuple[Path, ...]:
    if (path / "_delta_log").exists():
        raise _refusal(
            f"Parquet, got a Delta table at {str(path)!r}", "Write its rows as Parquet: old files lie there too."
        )
    files = tuple(sorted(path.glob("*.parquet"))) if path.is_dir() else (path,)
    if not files:
        raise _refusal(
            f"Parquet, got the folder {str(path)!r} without a .parquet file", "Name the folder that holds them."
        )
    if not path.exists():
        raise _refusal(
            f"a Parquet file, got nothing at {str(path)!r}", "Check the path; it starts from the working folder."
        )
    return files


def _footer(file: Path) -> tuple[pa.Schema, int]:
    try:
        with pq.ParquetFile(file) as opened:
            schema, n_rows = opened.schema_arrow.remove_metadata(), opened.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error
    names = Counter(schema.names)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise _refusal(f"every column once, got {', '.join(twice)} twice in {file.name}", "Rename one of the two.")
    return schema, n_rows


def _unreadable(file: Path, error: Exception) -> DataError:
    cause = str(error).partition("\n")[0]
    return _refusal(f"a Parquet file, got {str(file)!r}, which cannot be read ({cause})", "Write the file as Parquet.")


def _refusal(expected: str, remedy: str) -> DataError:
    return DataError(f"candidates.path: expected {expected}. {remedy}")
