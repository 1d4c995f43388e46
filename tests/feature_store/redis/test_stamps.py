from __future__ import annotations

import pytest

from feature_store.redis.stamps import SeenStates, Stamp


def test_a_stamp_is_read_as_the_scripts_write_it() -> None:
    assert Stamp.parse(b"1700000000000000 abc 7") == Stamp(1_700_000_000_000_000, "abc", 7)


@pytest.mark.parametrize(
    ("answers", "back"),
    [
        ([(1, "a", 1), (1, "a", 1), (1, "a", 2)], [False, False, False]),
        ([(1, "a", 2), (1, "a", 1)], [False, True]),
        ([(1, "a", 5), (2, "b", 1)], [False, False]),  # a publish onto an emptied server
        ([(2, "b", 1), (1, "a", 9)], [False, True]),
        # Others write on after the server was set back: only another publish mends it.
        ([(1, "a", 5), (1, "a", 3), (1, "a", 7), (2, "b", 8)], [False, True, True, False]),
    ],
)
def test_a_state_that_is_older_than_one_read_before_is_found(
    answers: list[tuple[int, str, int]], back: list[bool]
) -> None:
    seen = SeenStates()
    assert [seen.went_back(Stamp(*answer), seen.newest) for answer in answers] == back


def test_answers_that_overtake_each_other_are_no_step_back() -> None:
    seen = SeenStates()
    before = seen.newest
    assert not seen.went_back(Stamp(1, "a", 4), before)  # of a thread that asked later and was faster
    assert not seen.went_back(Stamp(1, "a", 3), before)
    assert seen.newest == Stamp(1, "a", 4)
