"""Rows against a reference: the same rows are fine, planted changes are found, small samples are not taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from recmem.reference.reference import Reference
from training.monitoring.comparison import compared_rows, group_of
from training.monitoring.event_rows import EventRows
from training.monitoring.findings import Finding
from training.monitoring.monitor_config import MonitorConfig
from training.monitoring.row_figures import RowFigures

NAMES = ("web", "app", "tv")
TIMES = ("2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00")


def rows(n_users: int, *, seed: int, shift: float = 0.0, missing: float = 0.0, unknown: float = 0.02) -> RowFigures:
    """Twenty rows a user; a feature that is the user's alone, one of each row, and what else a row has."""
    random = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), 20)
    n_rows = len(users)
    price = random.normal(size=n_rows) + shift
    price[random.random(n_rows) < missing] = np.nan
    figures = {
        "memory_size": np.log1p(random.poisson(8, n_users)).astype(np.float32)[users],
        "candidates.price": price.astype(np.float32),
    }
    shares = {"unknown_items": random.random(n_rows) < unknown}
    categories = {"categories.device": (random.choice([0, 0, 0, 1, -1], n_rows), NAMES)}
    return RowFigures(users, users, figures, shares, categories)


def events(n: int, *, seed: int, names: tuple[str, ...] = ("click", "view")) -> EventRows:
    random = np.random.default_rng(seed)
    shares = {"events.first_of_user": random.random(n) < 0.1}
    return EventRows(np.arange(n), shares, (random.integers(0, len(names), n), names))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return rows(1000, seed=0).reference("catalogue", TIMES, events=events(5000, seed=0))


def compared(reference: Reference, current: RowFigures, new: EventRows | None = None) -> dict[str, Finding]:
    return {each.name: each for each in compared_rows(reference, current, new, MonitorConfig())}


def test_rows_of_the_same_kind_are_fine(reference: Reference) -> None:
    found = compared(reference, rows(800, seed=1), events(3000, seed=1))
    assert {name: each.status for name, each in found.items()} == dict.fromkeys(found, "ok")
    # Of the vocabulary, "tv" is in neither.
    assert found["categories.device"].note == ""
    assert set(found) == {
        "memory_size",
        "candidates.price",
        "unknown_items",
        "categories.device",
        "events.first_of_user",
        "event",
    }


def test_false_alarms_are_as_rare_as_they_are_meant_to_be(reference: Reference) -> None:
    """With limits of nothing, what is left is chance: its share of calls is about the level of significance."""
    config = MonitorConfig(
        psi_warn=1e-9, psi_alert=1e-9, ks_warn=1e-9, ks_alert=1e-9, share_warn=1e-9, share_alert=1e-9, significance=0.05
    )
    current = [rows(60, seed=seed) for seed in range(100, 200)]
    alarms = [
        any(
            limit.value > limit.chance
            for each in compared_rows(reference, some, None, config)
            for limit in each.limits.values()
        )
        for some in current
    ]
    assert np.mean(alarms) < 0.12


def test_a_shift_alerts_and_names_its_bins(reference: Reference) -> None:
    found = compared(reference, rows(800, seed=1, shift=1.0))
    price = found["candidates.price"]
    assert (price.status, price.group) == ("alert", "candidates' own")
    assert price.limits["psi"].value > 0.5
    assert abs(price.limits["ks"].value - 0.38) < 0.03  # 2 Phi(1 / 2) - 1
    assert len(price.reference_bins) == len(price.current_bins) == len(price.edges) + 2
    assert found["memory_size"].status == "ok"


def test_a_small_shift_warns(reference: Reference) -> None:
    assert compared(reference, rows(800, seed=1, shift=0.36))["candidates.price"].status == "warn"


def test_missing_values_and_unknown_items_are_held_against_the_references_share(reference: Reference) -> None:
    found = compared(reference, rows(800, seed=1, missing=0.1, unknown=0.3))
    assert found["candidates.price"].status == "warn"
    assert found["candidates.price"].note == "Missing: 9.8%, in the reference 0.0%."
    assert found["unknown_items"].status == "alert"


def test_few_users_are_too_few_even_if_their_rows_are_many(reference: Reference) -> None:
    found = compared(reference, rows(10, seed=1, unknown=0.0))
    assert found["memory_size"].status == "too few"
    assert found["memory_size"].rows == 200
    assert found["memory_size"].effective < 20


def test_new_names_of_events_and_another_mix_are_told(reference: Reference) -> None:
    found = compared(reference, rows(800, seed=1), events(3000, seed=1, names=("click", "view", "refund")))
    assert found["event"].status == "alert"
    assert found["event"].note == "Not in the reference: refund."


def test_a_share_that_training_did_not_have_counts_from_nothing(reference: Reference) -> None:
    current = rows(800, seed=1)
    current.shares["new_categories.device"] = np.arange(len(current)) % 4 == 0
    assert compared(reference, current)["new_categories.device"].status == "alert"


def test_figures_are_grouped_by_what_they_are_about() -> None:
    names = ("match_raw", "score", "items.price", "candidates.ctr", "memory_size", "text_length")
    assert list(map(group_of, names)) == ["match", "scores", "item attribute", "candidates' own", "user", "rows"]


def test_columns_of_the_users_table_and_optional_features_have_their_own_groups() -> None:
    names = ("users.age", "user_categories.plan", "times_had", "facts_max")
    assert list(map(group_of, names)) == ["user attribute", "user attribute", "repeats", "knowledge"]


@pytest.mark.parametrize("by_user", [False, True])
def test_a_value_that_most_rows_lack_does_not_warn_by_chance(by_user: bool) -> None:
    """Only the rows that have the value tell how it is distributed."""
    sparse = some_with_value(1000, seed=0, by_user=by_user).reference("given", TIMES)
    found = [
        compared(sparse, some_with_value(200, seed=seed, by_user=by_user))["candidates.price"] for seed in range(1, 41)
    ]
    beyond_chance = [any(limit.value > limit.chance for limit in each.limits.values()) for each in found]
    assert np.mean(beyond_chance) < 0.05
    shifted = some_with_value(2000, seed=1, by_user=by_user, shift=2.0)
    assert compared(sparse, shifted)["candidates.price"].status == "alert"


def some_with_value(n_users: int, *, seed: int, by_user: bool, shift: float = 0.0) -> RowFigures:
    """Twenty rows a user, of which one in ten has a value: by chance, or all rows of one user in ten."""
    random = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), 20)
    price = random.normal(size=n_users)[users] if by_user else random.normal(size=len(users))
    has_value = (random.random(n_users) < 0.1)[users] if by_user else random.random(len(users)) < 0.1
    price = np.where(has_value, price + shift, np.nan).astype(np.float32)
    return RowFigures(users, users, {"candidates.price": price}, {}, {})


def test_an_empty_bin_of_few_users_counts_as_half_a_user_and_not_half_a_row() -> None:
    """A value that is the user's alone: twenty users say as little in 400 rows as in 20."""

    def ages(n_users: int, seed: int) -> RowFigures:
        users = np.repeat(np.arange(n_users), 20)
        age = np.random.default_rng(seed).normal(size=n_users).astype(np.float32)[users]
        return RowFigures(users, users, {"users.age": age}, {}, {})

    reference = ages(100, 0).reference("given", TIMES)
    found = [compared(reference, ages(20, seed))["users.age"].limits["psi"] for seed in range(1, 61)]
    assert np.mean([limit.value > limit.chance for limit in found]) < 0.05


def test_events_are_not_held_against_a_reference_without_events() -> None:
    given = rows(1000, seed=0).reference("given", TIMES)
    assert not {"event", "events.first_of_user"} & set(compared(given, rows(800, seed=1), events(3000, seed=1)))


def test_names_beyond_those_that_a_reference_keeps_are_not_called_new() -> None:
    names = tuple(f"event {number}" for number in range(60))
    many = rows(1000, seed=0).reference("catalogue", TIMES, events=events(5000, seed=0, names=names))
    found = compared(many, rows(800, seed=1), events(3000, seed=1, names=names))["event"]
    assert found.note.startswith("Not among the reference's 50 most frequent: event ")
