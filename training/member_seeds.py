"""Seeds of the members of a mean: models that are fitted alike but for their randomness, and averaged."""

from __future__ import annotations

import numpy as np


def member_seed(seed: int, member: int) -> int:
    """The seed of a run's member, counted from 0: the first one's is the run's own, so that one member is the run.

    The others' have nothing in common with those of runs with other seeds; below 2**31, which LightGBM takes.
    """
    if member == 0:
        return seed
    return int(np.random.SeedSequence((seed, member)).generate_state(1)[0] >> 1)
