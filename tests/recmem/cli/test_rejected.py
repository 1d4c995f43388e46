"""`recmem rejected` and `recmem resubmit`: out, corrected, and back in."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from command_line import DONE, REFUSED, Outcome


def test_rejected_rows_are_shown_written_out_corrected_and_resubmitted(tmp_path: Path) -> None:
    store, rows = tmp_path / "store", tmp_path / "rows.jsonl"
    bad = {"user_id": ["u", "v"], "item_id": ["a", "b"], "timestamp": ["yesterday", "2024-01-01"]}
    pl.DataFrame(bad).write_parquet(tmp_path / "events.parquet")
    assert Outcome("ingest", "--store", store, "--events", tmp_path / "events.parquet").code == DONE
    shown = Outcome("rejected", "--store", store, "--out", rows)
    assert shown.code == DONE
    assert "1 x events: timestamp: expected" in shown.out
    line = json.loads(rows.read_text())
    line["row"]["timestamp"] = "2024-01-02"
    rows.write_text(json.dumps(line))
    again = Outcome("resubmit", "--store", store, "--rows", rows)
    assert (again.code, "1 of 1 rows accepted, 0 still rejected." in again.out) == (DONE, True)
    assert "The store has no rejected rows." in Outcome("rejected", "--store", store).out
    assert Outcome("resubmit", "--store", store, "--rows", rows).code == REFUSED
