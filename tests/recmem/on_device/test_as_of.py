"""The join on time on a device: the counts of the CPU, for any keys, rows and times."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from feature_store.point_in_time.as_of_join import AsOfIndex
from recmem.on_device.as_of import DeviceIndex

KEYS = st.integers(0, 4)
TIMES = st.integers(-3, 12)


@given(st.lists(st.tuples(KEYS, TIMES)), st.lists(st.tuples(st.integers(-1, 7), TIMES)))
def test_counts_are_those_of_the_cpu(
    device: torch.device, rows: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    index = AsOfIndex(*np.array(rows, np.int64).reshape(-1, 2).T.copy())
    keys, times = np.array(asked, np.int64).reshape(-1, 2).T.copy()
    on_device = DeviceIndex.of(index, device)
    keys_there = torch.from_numpy(keys).to(device)
    known_until = on_device.known_until(torch.from_numpy(times).to(device))
    assert known_until.tolist() == index.known_until(times).tolist()
    assert on_device.starts(keys_there).tolist() == index.starts(keys).tolist()
    assert on_device.ends(keys_there, known_until).tolist() == index.ends(keys, times).tolist()
    assert on_device.counts(keys_there, known_until).tolist() == index.counts(keys, times).tolist()


def test_a_row_at_the_time_itself_is_known(device: torch.device) -> None:
    on_device = DeviceIndex.of(AsOfIndex(np.array([1, 1, 2]), np.array([3, 5, 4])), device)
    times = torch.tensor([2, 3, 4, 5], device=device)
    counts = on_device.counts(torch.ones_like(times), on_device.known_until(times))
    assert counts.tolist() == [0, 1, 1, 2]
