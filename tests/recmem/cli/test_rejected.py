"""`recmem rejected` and `recmem resubmit`: out, corrected, and back in."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from command_line import DONE, REFUSED, Outcome
from feature_store import Store


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


def test_a_line_that_could_not_be_read_comes_back_once_its_columns_are_written_out(tmp_path: Path) -> None:
    store, rows = tmp_path / "store", tmp_path / "rows.jsonl"
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nu,a,2024-01-01\nv,b\n")
    assert Outcome("ingest", "--store", store, "--events", tmp_path / "events.csv").code == DONE
    shown = Outcome("rejected", "--store", store, "--out", rows)
    assert 'Where `row` holds an "unreadable line", replace it' in shown.out
    line = json.loads(rows.read_text())
    assert line["row"] == {"unreadable line": "v,b"}
    unchanged = Outcome("resubmit", "--store", store, "--rows", rows)
    assert "0 of 1 rows accepted, 1 still rejected." in unchanged.out
    assert "still the text of a line" in unchanged.err
    line["row"] |= {"user_id": "v", "item_id": "b", "timestamp": "2024-01-02"}
    rows.write_text(json.dumps(line))
    assert "1 of 1 rows accepted, 0 still rejected." in Outcome("resubmit", "--store", store, "--rows", rows).out
    assert "The store has no rejected rows." in Outcome("rejected", "--store", store).out


def test_forgetting_finds_ids_in_lines_that_could_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nu,a,2024-01-01\nu7,b\nu71,b\n")
    assert Outcome("ingest", "--store", tmp_path / "store", "--events", tmp_path / "events.csv").code == DONE
    opened = Store.open(tmp_path / "store")
    assert opened.forget_user("u7").n_removed["rejected"] == 1
    assert opened.rejected()["row"].to_list() == ['{"unreadable line": "u71,b"}']
