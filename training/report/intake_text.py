"""What was read of the tables, on the terminal: receipts, unmatched rows, and a reminder of what was not used."""

from __future__ import annotations

from feature_store.warnings.date_columns import REMEDY
from recmem.cli.console import complain, say
from training.intake import Intake
from training.report.number_text import time_text

_MAX_COLUMNS = 20
"""Columns that are named."""
_MAX_KINDS = 12
"""Names of events that are printed."""


def show_intake(intake: Intake) -> None:
    """Prints the receipts and the unmatched rows; those that look like a mistake to stderr."""
    say(when_read(intake))
    for receipt in intake.receipts:
        say(str(receipt))
    if intake.kinds:
        say(f"Events by name: {kinds_text(intake)}.")
    for sentence in intake.used:
        say(f"Used: {sentence}")
    if intake.unused:
        say(f"Stored but not used: {', '.join(intake.unused)}.{dates_text(intake)}")
    if intake.undated:
        say(undated_text(intake))
    for warning in intake.warnings:
        complain(f"Warning: {warning}")
    for unmatched in intake.unmatched:
        if unmatched.is_warning:
            complain(f"Warning: {unmatched}")
        else:
            say(str(unmatched))


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
    shown = [str(kind) for kind in intake.kinds[:_MAX_KINDS]]
    n_more = len(intake.kinds) - len(shown)
    more = [f"{n_more:,} more {'name' if n_more == 1 else 'names'}, all in intake.json"] if n_more else []
    return "; ".join([*shown, *more])


def remind_of_lost_rows(intake: Intake, store: object) -> None:
    """Prints to stderr what was not learned from, for the end of a run: the receipts have scrolled away by then."""
    for sentence in lost_rows(intake):
        complain(sentence)
    if any(receipt.n_rejected for receipt in intake.receipts):
        complain(f"To see the rejected rows, run `recmem rejected --store {store}`.")


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
