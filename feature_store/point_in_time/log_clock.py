"""The log clock: the time that is used as the present, which a few wrong dates in the future must not move."""

from __future__ import annotations

import numpy as np

from feature_store.arrays import IntArray
from feature_store.timestamps import DAY_US, wall_clock

YEAR_US = 365 * DAY_US
FAR_SHARE = 0.1
"""At most this share of a log, but always one change, can lie too far ahead; more of them are how the log is."""
FIRST_SHARE = 0.01
"""This share at the start of a log, at least one change, is left out of its length: wrong dates lie there too."""


def log_clock(last: int, *changes: IntArray) -> int:
    """The first microsecond at which all of a log is known, but for what lies too far ahead; 0 for an empty log.

    `changes` are the times at which what is known changes, microseconds, in any order, and `last` is the last of them.
    Changes lie too far ahead if they come after the wall clock, after a gap longer than the rest of the log (at least
    a year), and are few. Otherwise one event dated 2099 would define the present for all users.
    """
    latest = surely_happened()
    if last <= latest:
        return last
    times = np.sort(np.concatenate(changes))
    begin, longest_gap = _end_of_most(times)
    tail = times[begin:]
    gaps = np.flatnonzero((np.diff(tail) > longest_gap) & (tail[1:] > latest))
    return int(tail[gaps[0]] if len(gaps) else tail[-1])


def clock_step(known: IntArray) -> tuple[int, int]:
    """How one new event may move a clock that already stands: up to the first time, or by the second, microseconds.

    `known` are the sorted times at which the events of the log became known.
    """
    return surely_happened(), _end_of_most(known)[1] if len(known) else YEAR_US


def surely_happened() -> int:
    """Later times than this lie in the future, microseconds."""
    # A day, because clocks differ and some writers give local times as UTC.
    return wall_clock() + DAY_US


def _end_of_most(times: IntArray) -> tuple[int, int]:
    """Where most of the sorted times end, and the longest gap that may follow."""
    end = max(len(times) - 1 - max(int(len(times) * FAR_SHARE), 1), 0)
    first = min(max(int(len(times) * FIRST_SHARE), 1), end)
    return end, max(int(times[end] - times[first]), YEAR_US)
