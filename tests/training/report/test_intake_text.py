"""What a user reads of the tables on the terminal: receipts and causes, and at the end what was not used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feature_store import Receipt
from feature_store.warnings.event_kinds import EventKind
from feature_store.warnings.unmatched_ids import UnmatchedIds
from training.intake import Intake
from training.report.intake_text import lost_rows
from training.report.terminal import remind_of_lost_rows, show_intake

REASON = "timestamp: expected a time, got text"
REASONS = {REASON: 78, "user_id: null": 2}
EVENTS = Receipt("events", 320, 230, 10, 80, 1, REASONS, ("odd times",), {REASON: "'soon' in row 0"})
ITEMS = Receipt("items", 30, 30, 0, 0, 1, {})
SPACES = UnmatchedIds("events.item_id", "items.item_id", 240, 34, 22, ("'i1 '",), ("'i1'",), "white space", True)
FEW = UnmatchedIds("events.item_id", "items.item_id", 240, 3, 1, ("'x'",), ("'i1'",))


def intake(*receipts: Receipt, unmatched: tuple[UnmatchedIds, ...] = (), reused: bool = False) -> Intake:
    return Intake(receipts, unmatched, 0, {"events": 1}, "ab12", "2026-11-27T10:00:00+00:00", reused=reused)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")


def test_receipts_are_printed_with_reasons_examples_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    show_intake(intake(ITEMS, EVENTS))
    out = capsys.readouterr().out
    assert "Read at 2026-11-27 10:00:00 UTC." in out
    assert "items: 30 new, 0 duplicate, 0 rejected of 30 rows" in out
    assert f"78 x {REASON} ('soon' in row 0)" in out
    assert "Warning: odd times" in out


def test_columns_of_items_without_times_are_named_up_to_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    show_intake(replace(intake(ITEMS), undated=("items.price", "items.weight")))
    expected = "Without times, so read as they are now for all past queries: items.price, items.weight."
    assert expected in capsys.readouterr().out
    show_intake(replace(intake(ITEMS), undated=tuple(f"items.n{number}" for number in range(21))))
    assert "items.n19, ...." in capsys.readouterr().out
    show_intake(intake(ITEMS))
    assert "Without times" not in capsys.readouterr().out


def test_columns_of_dates_are_named_once_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    show_intake(replace(intake(ITEMS), unused=("items.url", "items.released"), dates=("items.released",)))
    assert (
        "Stored but not used: items.url, items.released. Dates are no features (items.released). Give a number in its "
        "place, such as the age in days, or call the column `timestamp` if it says from when on a row holds.\n"
    ) in capsys.readouterr().out
    show_intake(replace(intake(ITEMS), unused=("items.url",)))
    assert "Stored but not used: items.url.\n" in capsys.readouterr().out


def test_unmatched_rows_that_look_like_a_mistake_are_a_warning_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    show_intake(intake(EVENTS, unmatched=(SPACES,)))
    assert "Warning: events.item_id: 34 of 240 rows (14%) are unmatched" in capsys.readouterr().err
    show_intake(intake(EVENTS, unmatched=(FEW,)))
    printed = capsys.readouterr()
    assert "events.item_id: 3 of 240 rows (1%) are unmatched" in printed.out
    assert printed.err == ""


def test_reused_receipts_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    show_intake(intake(EVENTS, reused=True))
    assert "Read at 2026-11-27 10:00:00 UTC by an earlier run; neither the tables nor" in capsys.readouterr().out
    show_intake(intake())
    assert "No table was given: this run uses what the store held" in capsys.readouterr().out


def test_lost_rows_are_repeated_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    remind_of_lost_rows(intake(ITEMS, EVENTS, unmatched=(SPACES,)), "run/store")
    err = capsys.readouterr().err
    assert f"80 of 320 rows of events were rejected and not used: {REASON}, and 1 other reason." in err
    assert "34 events were not used: their items are not in the items table. Likely cause: white space ('i1 '" in err
    assert "run `recmem rejected --store run/store`" in err
    remind_of_lost_rows(intake(ITEMS), "run/store")
    assert capsys.readouterr().err == ""


def test_users_without_events_are_not_called_lost() -> None:
    users = UnmatchedIds("impressions.user_id", "events.user_id", 10, 9, 9, ("'u'",), ("'v'",))
    assert lost_rows(intake(unmatched=(users,))) == []


def test_events_are_printed_by_name_with_how_they_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = tuple(EventKind(f"k{n}", 20 - n, 0, 20 - n, 0, "unnamed") for n in range(14))
    show_intake(replace(intake(EVENTS), kinds=kinds))
    out = capsys.readouterr().out
    assert "Events by name: 20 'k0' (neutral: no rule names them); 19 'k1' (neutral" in out
    assert "; 2 more names, all in intake.json." in out


def test_columns_that_nothing_reads_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show_intake(replace(intake(EVENTS), unused=("items.link", "events.session_id")))
    assert "Stored but not used: items.link, events.session_id." in capsys.readouterr().out
    show_intake(intake(EVENTS))
    assert "not used" not in capsys.readouterr().out
