"""`recmem rejected` and `recmem resubmit`: out, corrected, and back in."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import polars as pl
import pytest

import command_line
from command_line import DONE, REFUSED, WRONG_USE, Outcome
from feature_store import Store


def test_rejected_rows_are_shown_written_out_corrected_and_resubmitted(tmp_path: Path) -> None:
    store, rows = tmp_path / "my store", tmp_path / "rows.jsonl"
    bad = {"user_id": ["u", "v"], "item_id": ["a", "b"], "timestamp": ["yesterday", "2024-01-01"]}
    pl.DataFrame(bad).write_parquet(tmp_path / "events.parquet")
    assert Outcome("ingest", "--store", store, "--events", tmp_path / "events.parquet").code == DONE
    shown = Outcome("rejected", "--store", store, "--out", rows)
    assert shown.code == DONE
    assert "1 x events: timestamp: expected" in shown.out
    assert f"recmem resubmit --store {shlex.quote(str(store))} --rows" in shown.out
    line = json.loads(rows.read_text())
    line["row"]["timestamp"] = "2024-01-02"
    rows.write_text(json.dumps(line))
    again = Outcome("resubmit", "--store", store, "--rows", rows)
    assert (again.code, "1 of 1 row accepted, 0 still rejected." in again.out) == (DONE, True)
    assert "The store has no rejected rows." in Outcome("rejected", "--store", store).out
    twice = Outcome("resubmit", "--store", store, "--rows", rows)
    assert (twice.code, "0 of 1 row accepted, 0 still rejected, 1 settled before." in twice.out) == (DONE, True)
    assert len(Store.open(store).events()) == 2
    rows.write_text(json.dumps({**line, "content_hash": "of another"}))
    assert Outcome("resubmit", "--store", store, "--rows", rows).code == REFUSED


@pytest.fixture
def ragged(tmp_path: Path) -> Path:
    """A store with events of a file in which four rows are bad."""
    (tmp_path / "events.csv").write_text(
        "user_id,comment,item_id,timestamp,event_id\n"
        "u,fine,a,2026-01-01,e1\n"
        f"v,{'long ' * 40},b,2026-02-31,e2\n"
        ",,c,2026-01-01,e3\n"
        "w,,d,soon,e4\n"
        "x,y\n"
    )
    assert Outcome("ingest", "--store", tmp_path / "store", "--events", tmp_path / "events.csv").code == DONE
    return tmp_path


def test_the_bad_value_is_shown_first_then_the_line_then_which_row_it_is(ragged: Path) -> None:
    lines = Outcome("rejected", "--store", ragged / "store").out.splitlines()
    shown = [" ".join(line.split()) for line in lines]
    assert "1 x events: timestamp: expected a time, got a date that does not exist" in shown
    assert "timestamp '2026-02-31' line 3 event_id 'e2', user_id 'v', item_id 'b'" in shown
    assert "user_id (empty) line 4 event_id 'e3', item_id 'c', timestamp '2026-01-01'" in shown
    assert "'x,y' line 6" in shown


def test_the_bad_value_is_seen_on_a_narrow_terminal(ragged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command_line.WIDE, "COLUMNS", "60")
    shown = " ".join(Outcome("rejected", "--store", ragged / "store").out.split())
    assert "timestamp '2026-02-31'" in shown


def test_the_file_of_rejected_rows_names_the_lines_of_the_file_that_they_came_from(ragged: Path) -> None:
    assert Outcome("rejected", "--store", ragged / "store", "--out", ragged / "rows.jsonl").code == DONE
    lines = [json.loads(line) for line in (ragged / "rows.jsonl").read_text().splitlines()]
    source = (ragged / "events.csv").read_text().splitlines()
    assert len(lines) == 4
    for line in lines:
        row = line["row"]
        assert source[line["line"] - 1].startswith(row.get("unreadable line", f"{row.get('user_id') or ''},"))
        assert "row_number" not in line


def test_rows_of_a_table_and_a_reason_are_written_off_and_not_reported_again(ragged: Path) -> None:
    store = ragged / "store"
    assert Outcome("rejected", "--store", store, "--table", "event").code == WRONG_USE
    assert Outcome("rejected", "--store", store, "--settled", "--discard").code == WRONG_USE
    assert "no rejected rows of this kind" in Outcome("rejected", "--store", store, "--table", "items").out
    one = Outcome("rejected", "--store", store, "--table", "events", "--reason", "does not exist", "--discard")
    assert (one.code, "Wrote off 1 row." in one.out) == (DONE, True)
    assert "2026-02-31" not in Outcome("rejected", "--store", store).out
    again = Outcome("ingest", "--store", store, "--events", ragged / "events.csv")
    assert "0 new, 1 duplicate, 3 rejected of 5 rows; known: 1 invalid" in again.out
    assert "2026-02-31" not in again.out
    assert "Wrote off 3 rows." in Outcome("rejected", "--store", store, "--discard").out
    assert "The store has no rejected rows." in Outcome("rejected", "--store", store).out
    last = Outcome("ingest", "--store", store, "--events", ragged / "events.csv")
    assert "0 rejected of 5 rows; known: 4 invalid" in last.out
    assert "rejected rows" not in last.err


def test_a_row_that_was_written_off_can_still_be_corrected(ragged: Path) -> None:
    store, rows = ragged / "store", ragged / "rows.jsonl"
    assert Outcome("rejected", "--store", store, "--discard").code == DONE
    shown = Outcome("rejected", "--store", store, "--settled", "--reason", "does not exist", "--out", rows)
    assert "a date that does not exist (written off)" in shown.out
    line = json.loads(rows.read_text())
    line["row"]["timestamp"] = "2026-02-28"
    rows.write_text(json.dumps(line))
    assert "1 of 1 row accepted" in Outcome("resubmit", "--store", store, "--rows", rows).out
    assert "(resubmitted)" in Outcome("rejected", "--store", store, "--settled").out


def test_a_settled_row_is_shown_once_by_its_newest_reason_and_a_stored_one_need_not_be_corrected(ragged: Path) -> None:
    store, rows = ragged / "store", ragged / "rows.jsonl"
    assert Outcome("rejected", "--store", store, "--reason", "does not exist", "--out", rows).code == DONE
    line = json.loads(rows.read_text())
    for user, time in (("", "2026-02-28"), ("v", "2026-02-28")):
        line["row"] |= {"user_id": user, "timestamp": time}
        rows.write_text(json.dumps(line))
        assert Outcome("resubmit", "--store", store, "--rows", rows).code == DONE
    shown = Outcome("rejected", "--store", store, "--settled", "--out", rows)
    assert "1 x events: user_id: expected an id, got empty text (resubmitted)" in shown.out
    assert "does not exist" not in shown.out
    assert "Wrote 1 row to" in shown.out
    assert len(rows.read_text().splitlines()) == 1
    assert "Correct the values" not in shown.out
    assert Outcome("rejected", "--store", store, "--discard").code == DONE
    mixed = Outcome("rejected", "--store", store, "--settled", "--out", rows)
    assert "Wrote 4 rows to" in mixed.out
    assert "To add the 3 rows that were written off after all: Correct the values under `row`" in mixed.out


def test_a_line_that_could_not_be_read_comes_back_once_its_columns_are_written_out(tmp_path: Path) -> None:
    store, rows = tmp_path / "store", tmp_path / "rows.jsonl"
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nu,a,2024-01-01\nv,b\n")
    assert Outcome("ingest", "--store", store, "--events", tmp_path / "events.csv").code == DONE
    shown = Outcome("rejected", "--store", store, "--out", rows)
    assert 'Where `row` holds an "unreadable line", replace it' in shown.out
    line = json.loads(rows.read_text())
    assert line["row"] == {"unreadable line": "v,b"}
    unchanged = Outcome("resubmit", "--store", store, "--rows", rows)
    assert "0 of 1 row accepted, 1 still rejected." in unchanged.out
    assert "1 row is still the text of a line" in unchanged.err
    line["row"] |= {"user_id": "v", "item_id": "b", "timestamp": "2024-01-02"}
    rows.write_text(json.dumps(line))
    assert "1 of 1 row accepted, 0 still rejected." in Outcome("resubmit", "--store", store, "--rows", rows).out
    assert "The store has no rejected rows." in Outcome("rejected", "--store", store).out


def test_a_line_that_could_not_be_read_and_was_written_off_is_not_still_rejected(tmp_path: Path) -> None:
    store, rows = tmp_path / "store", tmp_path / "rows.jsonl"
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nu,a,2024-01-01\nv,b\nw,c\n")
    assert Outcome("ingest", "--store", store, "--events", tmp_path / "events.csv").code == DONE
    assert Outcome("rejected", "--store", store, "--out", rows).code == DONE
    assert "2 rows are still the text" in Outcome("resubmit", "--store", store, "--rows", rows).err
    assert Outcome("rejected", "--store", store, "--discard").code == DONE
    unchanged = Outcome("resubmit", "--store", store, "--rows", rows)
    assert "0 of 2 rows accepted, 0 still rejected, 2 settled before." in unchanged.out
    assert "still the text" not in unchanged.err
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    lines[0]["row"] = {"user_id": "v", "item_id": "b", "timestamp": "2024-01-02"}
    rows.write_text("\n".join(map(json.dumps, lines)))
    assert "1 of 2 rows accepted, 0 still rejected" in Outcome("resubmit", "--store", store, "--rows", rows).out


def test_forgetting_finds_ids_in_lines_that_could_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp\nu,a,2024-01-01\nu7,b\nu71,b\n")
    assert Outcome("ingest", "--store", tmp_path / "store", "--events", tmp_path / "events.csv").code == DONE
    opened = Store.open(tmp_path / "store")
    assert opened.forget_user("u7").n_removed["rejected"] == 1
    assert opened.rejected()["row"].to_list() == ['{"unreadable line": "u71,b"}']
