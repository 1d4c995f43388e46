from __future__ import annotations

import numpy as np
import pytest

from tolerances import close
from training.fitting import position_bias
from training.fitting.position_bias import position_groups
from training.queries import UNKNOWN_POSITION


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of two rows and a click."""
    monkeypatch.setattr(position_bias, "FEWEST_ROWS", 2)
    monkeypatch.setattr(position_bias, "FEWEST_CLICKS", 1)


def groups(positions: list[int], clicked: list[int]) -> list[int]:
    found: list[int] = position_groups(np.array(positions), np.array(clicked) > 0).tolist()
    return found


def test_a_position_with_enough_rows_and_clicks_is_a_group() -> None:
    assert groups([3, 1, 1, 3, 2, 2], [1, 0, 1, 0, 1, 1]) == [2, 0, 0, 2, 1, 1]


def test_neighbours_that_are_rare_or_never_clicked_are_taken_together() -> None:
    # 5 has one row, 6 no click: together they are enough.
    assert groups([1, 1, 5, 6, 6, 7, 7], [1, 0, 1, 0, 0, 1, 1]) == [0, 0, 1, 1, 1, 2, 2]
    # What is left at the end joins the group before it.
    assert groups([1, 1, 8, 9, 9], [1, 0, 0, 0, 0]) == [0, 0, 0, 0, 0]


def test_rows_without_a_position_are_a_group_of_their_own() -> None:
    unknown = UNKNOWN_POSITION
    assert groups([1, 1, unknown, 2, 2, unknown], [1, 0, 0, 1, 0, 0]) == [0, 0, 2, 1, 1, 2]
    assert groups([unknown, unknown], [1, 0]) == [0, 0]


def test_negative_positions_and_gaps_are_positions_too() -> None:
    close(np.array(groups([-1, -1, 700, 700], [1, 0, 1, 0])), [0, 0, 1, 1], "exact")
