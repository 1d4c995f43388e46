"""`recmem ingest`: receipts, rejected rows, files that cannot be read."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import small_training
from command_line import DONE, REFUSED, Outcome


def test_receipts_are_printed_and_repeating_adds_nothing(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    first = Outcome("ingest", "--store", tmp_path / "store", "--items", items, "--events", events)
    again = Outcome("ingest", "--store", tmp_path / "store", "--items", items, "--events", events)
    assert (first.code, again.code) == (DONE, DONE)
    assert "items: 21 new, 0 duplicate, 0 rejected of 21 rows" in first.out
    assert "events: 180 new, 0 duplicate, 0 rejected of 180 rows" in first.out
    assert "events: 0 new, 180 duplicate, 0 rejected of 180 rows" in again.out


def test_how_events_are_taken_by_their_names_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,timestamp,event\nu,i,2026-01-01,view\nu,j,2026-01-02,Kauf\n")
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", path)
    assert "1 'Kauf' (neutral: no rule names them); 1 'view' (positive: a common name)." in outcome.out.replace(
        "\n", " "
    )


def test_valid_rows_are_kept_and_invalid_ones_reported(tmp_path: Path) -> None:
    _, events = small_training.write_tables(tmp_path)
    bad = pl.read_parquet(events).with_columns(
        user_id=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise("user_id")
    )
    bad.write_parquet(events)
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", events)
    assert outcome.code == DONE
    assert "events: 177 new, 0 duplicate, 3 rejected of 180 rows" in outcome.out
    assert "3 x user_id: expected an id, got null" in outcome.out
    assert "rejected" in outcome.err


def test_cancellations_that_match_no_event_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    head = "user_id,item_id,timestamp,event_id,cancels\n"
    rows = "u,i,2026-01-01,007,\nu,i,2026-01-02,,007\n"
    path.write_text(f"{head}{rows}u,i,2026-01-03,,008\n")
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", path)
    assert outcome.code == DONE
    assert "events: 3 new" in outcome.out
    assert "1 cancellations in the store" in outcome.err
    path.write_text(head + rows)
    assert "cancellations" not in Outcome("ingest", "--store", tmp_path / "other", "--events", path).err


def test_ingest_of_rows_that_are_all_bad_is_refused(tmp_path: Path) -> None:
    _, events = small_training.write_tables(tmp_path)
    pl.read_parquet(events).with_columns(timestamp=float("nan")).write_parquet(events)
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", events)
    assert outcome.code == REFUSED
    assert "events: expected valid rows, got none" in outcome.err
    assert "events.timestamp: expected" in outcome.err
    assert "180 rows, e.g. row 0" in outcome.err
    assert not (tmp_path / "store").exists()


def test_ingest_adds_nothing_where_one_of_the_files_cannot_be_read(tmp_path: Path) -> None:
    items, _ = small_training.write_tables(tmp_path)
    outcome = Outcome(
        "ingest", "--store", tmp_path / "store", "--items", items, "--events", tmp_path / "absent.parquet"
    )
    assert outcome.code == REFUSED
    assert "events.path: expected" in outcome.err
    assert not (tmp_path / "store").exists()


def test_a_bad_cell_and_a_broken_line_of_a_csv_are_rejected_alone_with_their_line_numbers(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.csv"
    good = "".join(f"u{n},i{n},{1_600_000_000 + n}\n" for n in range(20))
    path.write_text(f"user_id,item_id,timestamp\n{good}u99,i1,N/A\nu98,i1\n")
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", path)
    assert outcome.code == DONE
    assert "events: 20 new, 0 duplicate, 2 rejected of 22 rows" in outcome.out
    assert "got text that is not an epoch number or an ISO time (timestamp 'N/A' in line 22)" in outcome.out
    assert "1 x line: expected 3 fields, got 2 ('u98,i1' in line 23)" in outcome.out
    shown = Outcome("rejected", "--store", tmp_path / "store")
    assert "line 22" in shown.out
    assert "line 23" in shown.out
    assert "u98,i1" in shown.out


def test_events_whose_items_the_store_lacks_are_reported_with_the_likely_cause(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    log = pl.read_parquet(events)
    spaced = log.with_columns(
        item_id=pl.when(pl.int_range(pl.len()) < 60).then(pl.col("item_id") + " ").otherwise("item_id")
    )
    spaced.write_parquet(events)
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--items", items, "--events", events)
    assert outcome.code == DONE
    assert "events.item_id: 60 of 180 rows (33%) are unmatched: items lacks their item_id" in outcome.err
    assert "Likely cause: white space" in outcome.err
    pl.read_parquet(items).with_columns(pl.col("item_id") + " ").write_parquet(items)
    later = Outcome("ingest", "--store", tmp_path / "store", "--items", items)
    assert "unmatched" not in later.err


def test_events_before_any_item_are_said_to_wait(tmp_path: Path) -> None:
    _, events = small_training.write_tables(tmp_path)
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", events)
    assert outcome.code == DONE
    assert "The store has no items yet: its 180 events count once it has theirs." in outcome.err
    assert "unmatched" not in outcome.err


def test_swapped_tables_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--items", events, "--events", items)
    assert outcome.code == REFUSED
    assert "Are the two swapped?" in outcome.err
    assert not (tmp_path / "store").exists()


def test_errors_of_all_tables_are_reported_at_once(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path)
    pl.read_parquet(events).drop("timestamp").write_parquet(events)
    pl.read_parquet(items).select("item_id").write_parquet(items)
    outcome = Outcome(
        "ingest", "--store", tmp_path / "store", "--items", items, "--events", events, "--impressions", tmp_path / "no"
    )
    assert outcome.code == REFUSED
    for fault in (
        "items: expected at least one text column",
        "events.timestamp: expected",
        "impressions.path: expected",
    ):
        assert fault in outcome.err


def test_rows_that_were_rejected_get_the_warning_of_a_training_on_stderr(tmp_path: Path) -> None:
    times = ["2025-02-28"] * 20 + ["soon"] * 79
    lines = [f"u{number},i,{time}" for number, time in enumerate(times)]
    (tmp_path / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines, ",i,2025-02-28", ""]))
    outcome = Outcome("ingest", "--store", tmp_path / "store", "--events", tmp_path / "events.csv")
    assert outcome.code == DONE
    shown = " ".join(outcome.err.split())
    assert "80 of 100 rows of events were rejected and not used: timestamp: expected a time" in shown
    assert "and 1 other reason." in shown


def test_facts_about_no_item_are_reported_with_examples(tmp_path: Path) -> None:
    items, _ = small_training.write_tables(tmp_path)
    path = tmp_path / "facts.csv"
    item = small_training.items()["item_id"][0]
    # The second is about the object of an item's fact, and the third names it.
    read = f"subject,relation,object\n{item},author,X\nX,born in,Y\nX,label,Xaver\n"
    path.write_text(f"{read}book-1,author,X\nbook-2,author,Z\nbook-3,author,Z\nbook-4,author,Z\n")
    first = Outcome("ingest", "--store", tmp_path / "store", "--facts", path)
    assert "The store has no items yet: its 7 facts count once it has theirs." in first.err
    words = " ".join(Outcome("ingest", "--store", tmp_path / "store", "--items", items, "--facts", path).err.split())
    assert "facts.subject: 4 of 7 facts in the store are about no item" in words
    assert "such as 'book-1', 'book-2', 'book-3', where items.item_id has " in words
    assert "refused" not in words
    path.write_text(read)
    assert (
        "facts.subject" not in Outcome("ingest", "--store", tmp_path / "other", "--items", items, "--facts", path).err
    )
    path.write_text("subject,relation,object\nbook-1,author,X\nX,label,Xaver\n")
    outcome = Outcome("ingest", "--store", tmp_path / "third", "--items", items, "--facts", path)
    assert outcome.code == DONE
    assert "A training on them is refused." in " ".join(outcome.err.split())
