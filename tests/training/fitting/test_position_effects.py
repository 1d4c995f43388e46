"""What was learned of positions: by groups, relative to the first, and as a file."""

from __future__ import annotations

import math

import numpy as np

from tolerances import close
from training.fitting.position_effects import effects_from_json, effects_to_json, position_effects
from training.queries import UNKNOWN_POSITION

POSITIONS = np.array([1, 1, 2, 3, 3, UNKNOWN_POSITION])
GROUPS = np.array([0, 0, 1, 1, 1, 2])
CLICKED = np.array([True, False, False, True, False, True])
EFFECTS = position_effects(POSITIONS, GROUPS, CLICKED, np.array([0.5, 0.5 - math.log(4), 0.0], np.float32))


def test_effects_are_relative_to_the_first_positions() -> None:
    assert [(each.first, each.last) for each in EFFECTS] == [(1, 1), (2, 3), (None, None)]
    close([each.times for each in EFFECTS], [1.0, 0.25, math.exp(-0.5)], "float32")


def test_rows_and_clicks_are_counted_by_group() -> None:
    assert [(each.rows, each.clicks) for each in EFFECTS] == [(2, 1), (3, 1), (1, 1)]
    assert [each.click_rate for each in EFFECTS] == [1 / 2, 1 / 3, 1.0]


def test_a_group_that_no_row_is_in_is_left_out() -> None:
    assert len(position_effects(POSITIONS[:5], GROUPS[:5], CLICKED[:5], np.zeros(3, np.float32))) == 2


def test_the_file_holds_six_digits_and_comes_back() -> None:
    again = effects_from_json(effects_to_json(EFFECTS))
    close([each.effect for each in again], [each.effect for each in EFFECTS], "float32")
    assert effects_to_json(again) == effects_to_json(EFFECTS)
    assert '"times": 0.25' in effects_to_json(EFFECTS)
    assert effects_from_json("[]") == ()
