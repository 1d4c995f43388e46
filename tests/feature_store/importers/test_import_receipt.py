from __future__ import annotations

from pathlib import Path

from feature_store.importers.import_receipt import FileCount, ImportReceipt, train_command


def test_a_receipt_says_what_was_read_left_out_and_written_and_what_to_run_next() -> None:
    count = FileCount("ratings.csv", n_read=5)
    count.leave_out("rating: expected a number, got other text", cell="x" * 50, line=3)
    count.leave_out("rating: expected a number, got other text", cell="y", line=4)
    count.leave_out("movie given before, which is kept")
    tables = {Path("my tables/items.parquet"): 2, Path("my tables/events.parquet"): 1_200}
    receipt = ImportReceipt((count,), tables, ("A note.",), (train_command(tables),))
    assert str(receipt).splitlines() == [
        "ratings.csv: 5 rows read, 2 used",
        f"  2 x rating: expected a number, got other text (e.g. '{'x' * 39}... in line 3)",
        "  1 x movie given before, which is kept",
        "my tables/items.parquet: 2 rows written",
        "my tables/events.parquet: 1,200 rows written",
        "A note.",
        "Next:",
        "  recmem train --items 'my tables/items.parquet' --events 'my tables/events.parquet' --out run",
    ]
