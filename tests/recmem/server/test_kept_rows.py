"""Observed rows that are kept: in their order, in few frames, and no more than so many."""

from __future__ import annotations

import polars as pl

from recmem.server.kept_rows import KeptRows


def test_consecutive_frames_of_the_same_columns_are_one_and_the_order_stays() -> None:
    kept = KeptRows(100)
    for frame in (
        pl.DataFrame({"a": [1]}),
        pl.DataFrame({"a": [2]}),
        pl.DataFrame({"a": ["3"]}),
        pl.DataFrame({"a": [4]}),
    ):
        kept.add(frame)
    assert [frame["a"].to_list() for frame in kept.frames()] == [[1, 2], ["3"], [4]]
    assert len(kept) == 4


def test_the_oldest_frames_are_dropped_first_and_the_newest_never() -> None:
    kept = KeptRows(3)
    kept.add(pl.DataFrame({"a": [1, 2]}))
    kept.add(pl.DataFrame({"a": [3]}))
    kept.add(pl.DataFrame({"a": [4]}))
    assert [frame["a"].to_list() for frame in kept.frames()] == [[3, 4]]
    kept.add(pl.DataFrame({"a": range(10)}))
    assert [frame["a"].to_list() for frame in kept.frames()] == [list(range(10))]
    assert len(kept) == 10


def test_small_frames_are_joined_so_that_they_take_no_more_than_their_rows() -> None:
    kept = KeptRows(10_000)
    for number in range(95):
        kept.add(pl.DataFrame({"a": [number]}))
    assert len(kept) == 95
    # Blocks of ten rows, each in one piece of memory.
    assert [len(frame) for frame in kept._frames] == [10] * 9 + [5]
    assert {frame.n_chunks() for frame in kept._frames} == {1}
    assert [frame["a"].to_list() for frame in kept.frames()] == [list(range(95))]
