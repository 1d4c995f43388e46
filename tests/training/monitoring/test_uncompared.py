"""Figures of a reference that the watched rows lack, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recmem.reference.reference import Categories, Reference, Share
from training.monitoring.row_figures import RowFigures
from training.monitoring.uncompared import lacking_notes, not_compared

USERS = np.zeros(2, np.int64)
VALUES = np.array([0.0, 1.0], np.float32)
ROWS = RowFigures(USERS, USERS, {"score": VALUES}, {}, {})
FULL = replace(ROWS, figures={"score": VALUES, "popularity": VALUES}, shares={"unknown_users": VALUES > 0})


def reference() -> Reference:
    of_rows = FULL.reference("catalogue", ("2026-01-01", "2026-02-01"))
    events = {"events.first_of_user": Share(0.5, 10.0)}
    kinds = {"event": Categories(("view",), (1.0,), 10.0)}
    return replace(of_rows, shares=of_rows.shares | events, categories=kinds)


def test_what_the_rows_lack_is_named_without_what_only_events_have() -> None:
    assert not_compared(reference(), ROWS) == ("popularity", "unknown_users")
    assert not_compared(reference(), FULL) == ()


def test_the_note_says_how_many_were_compared_and_why_the_others_were_not() -> None:
    (note,) = lacking_notes(reference(), ("popularity", "unknown_users"), is_scored=True)
    assert note.startswith("1 of the reference's 3 figures of rows were compared, 2 were not, since the file does not")
    assert "--candidates compares all: popularity, unknown_users." in note
    (other,) = lacking_notes(reference(), ("popularity",), is_scored=False)
    assert "recmem score" not in other
    assert list(lacking_notes(reference(), (), is_scored=True)) == []
