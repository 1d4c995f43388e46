"""What was read of the tables, as sentences for the report and the terminal."""

from __future__ import annotations

from feature_store.warnings.date_columns import REMEDY
from feature_store.warnings.event_kinds import listed_kinds
from training.intake import Intake
from training.report.number_text import time_text

_MAX_COLUMNS = 20
"""Columns that are named, at most."""


def dates_text(intake: Intake) -> str:
    """What to do about columns of dates, as a sentence with a space before it; "" where there are none."""
    if not intake.dates:
        return ""
    shown = ", ".join(intake.dates[:_MAX_COLUMNS])
    return f" Dates are no features ({shown}). {REMEDY}."


def undated_text(intake: Intake) -> str:
    """Which columns of items past queries read as they are now."""
    names = f"{', '.join(intake.undated[:_MAX_COLUMNS])}{', ...' if len(intake.undated) > _MAX_COLUMNS else ''}"
    return f"Without times, so read as they are now for all past queries: {names}."


def kinds_text(intake: Intake) -> str:
    """The most frequent names of events in the store, with counts and how they are taken."""
    return listed_kinds(intake.kinds, where=", all in intake.json")


def lost_rows(intake: Intake) -> list[str]:
    """Sentences about the rows that were not used: rejected ones, and those of unknown items."""
    sentences = [sentence for receipt in intake.receipts if (sentence := receipt.rejected_sentence())]
    for unmatched in intake.unmatched:
        if unmatched.column.endswith("item_id"):
            table = unmatched.column.partition(".")[0]
            advice = "" if unmatched.cause else " Check that both tables write item ids in the same way."
            sentences.append(
                f"{unmatched.n_unmatched:,} {table} were not used: their items are not in the items table"
                f"{unmatched.cause_sentence()}{unmatched.remedy()}{advice}"
            )
    return sentences


def when_read(intake: Intake) -> str:
    """When the tables were read, and whether that was an earlier run."""
    time = time_text(intake.read_at)
    if not intake.receipts:
        return f"No table was given: this run uses what the store held at {time}."
    if intake.reused:
        return f"Read at {time} by an earlier run; neither the tables nor the store have changed since."
    return f"Read at {time}."
