"""Figures of a reference that the watched rows do not have, and why."""

from __future__ import annotations

from collections.abc import Iterator

from recmem.reference.reference import Reference
from training.monitoring.event_rows import EVENT, FIRST_OF_ITEM, FIRST_OF_USER, UNKNOWN_ITEM
from training.monitoring.row_figures import RowFigures

_OF_EVENTS = frozenset({EVENT, FIRST_OF_USER, FIRST_OF_ITEM, UNKNOWN_ITEM})
"""Figures that are asked for by giving events, and not missed without them."""
_N_SHOWN = 5


def not_compared(reference: Reference, rows: RowFigures) -> tuple[str, ...]:
    """The names of the reference's figures of rows that these rows do not have."""
    have = {*rows.figures, *rows.shares, *rows.categories}
    return tuple(name for name in _of_rows(reference) if name not in have)


def lacking_notes(reference: Reference, lacking: tuple[str, ...], *, is_scored: bool) -> Iterator[str]:
    """How many figures were compared and why not the others; nothing if all were. `is_scored`: by `recmem score`."""
    if not lacking:
        return
    n_all = len(_of_rows(reference))
    shown = ", ".join(lacking[:_N_SHOWN]) + (", ..." if len(lacking) > _N_SHOWN else "")
    why = (
        "the file does not have them (`recmem score` writes match features and scores, not what else the ranker "
        "reads, nor who is unknown). --candidates compares all"
        if is_scored
        else "these rows do not have them"
    )
    yield (
        f"{n_all - len(lacking)} of the reference's {n_all} figures of rows were compared, {len(lacking)} were not, "
        f"since {why}: {shown}."
    )


def _of_rows(reference: Reference) -> list[str]:
    names = (*reference.figures, *reference.shares, *reference.categories)
    return [name for name in names if name not in _OF_EVENTS]
