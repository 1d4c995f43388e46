"""Peak memory of `recmem score`, for a file of candidates and for one that is twenty times as long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow.parquet as pq

import recmem
from benchmarks.command import run_command
from benchmarks.timing import Row

METHOD = (
    "`recmem score` in a process of its own; its peak is the greatest resident set that the system has noted. Random "
    "candidates of random users, 100 an impression."
)
SIZES = (1_000_000, 20_000_000)
PART, IMPRESSION = 500_000, 100


def memory_rows(bundle: Path) -> list[Row]:
    """Rows per second of each file, from the start of the process to its end; the peak stands in the note."""
    model, found = recmem.load(bundle), list[Row]()
    with TemporaryDirectory() as folder:
        for size in SIZES:
            given, out = Path(folder) / "candidates.parquet", Path(folder) / "scores.parquet"
            write_candidates(model, given, size)
            done = run_command(["score", "--model", str(bundle), "--candidates", str(given), "--out", str(out)])
            n_written = pq.read_metadata(out).num_rows
            if n_written != size:
                raise RuntimeError(f"recmem score: expected {size} rows, got {n_written}.")
            name = f"{bundle.parent.name}: {size:,} rows, Parquet to Parquet"
            row = Row(
                "scoring a file",
                name,
                "recmem score",
                size / done.seconds,
                "rows/s",
                1.0,
                f"peak {done.peak_bytes / 1e9:.2f} GB",
            )
            found.append(replace(row, ratio=row.rate / found[0].rate) if found else row)
    return found


def write_candidates(model: recmem.Model, path: Path, size: int) -> None:
    """Random candidates of random users of the model's store, 100 an impression."""
    rng = np.random.default_rng(0)
    users, items, writer = model.dataset.users, model.dataset.catalogue.ids, None
    for begin in range(0, size, PART):
        n = min(PART, size - begin)
        frame = pl.DataFrame(
            {
                "user_id": users.gather(rng.integers(0, len(users), n // IMPRESSION).repeat(IMPRESSION)),
                "impression_id": (np.arange(begin, begin + n) // IMPRESSION).astype(str),
                "item_id": items.gather(rng.integers(0, len(items), n)),
            }
        ).to_arrow()
        writer = writer or pq.ParquetWriter(path, frame.schema)
        writer.write_table(frame)
    if writer is not None:
        writer.close()
