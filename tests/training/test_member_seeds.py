from __future__ import annotations

from training.member_seeds import member_seed


def test_the_first_member_has_the_seed_of_the_run() -> None:
    assert [member_seed(seed, 0) for seed in (0, 1, 17)] == [0, 1, 17]


def test_no_two_runs_share_a_member() -> None:
    seeds = [member_seed(seed, member) for seed in range(30) for member in range(5)]
    assert len(set(seeds)) == len(seeds)
    # A second fit adds a small number to a member's seed.
    later = {seed for seed in seeds if seed >= 30}
    assert not later & {seed + offset for seed in later for offset in (1, 2, 3)}


def test_seeds_fit_into_what_lightgbm_takes() -> None:
    assert all(0 <= member_seed(5, member) < 2**31 for member in range(100))
