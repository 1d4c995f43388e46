"""A bundle's reference: read as it was written, refused if it is not in that form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recmem.reference.distribution import Distribution
from recmem.reference.reference import MAX_CATEGORIES, Categories, Outcomes, Reference, Share
from tolerances import close


def reference() -> Reference:
    random = np.random.default_rng(0)
    users = random.integers(0, 50, 2000)
    names = ("web", "app")
    return Reference(
        version=1,
        asked="catalogue",
        queries=100,
        users=50,
        rows=2000,
        since="2026-01-01T00:00:00+00:00",
        until="2026-02-01T00:00:00+00:00",
        figures={"match_raw": Distribution.of(random.normal(size=2000).astype(np.float32), users)},
        shares={"unknown_items": Share.of(random.random(2000) < 0.1, users)},
        categories={"categories.device": Categories.of(random.integers(-1, 2, 2000), names, users)},
        outcomes=Outcomes(100, 50, 0.3, (0.25, 0.35), 0.8, 0.01, 0.012, (0.9, 1.5)),
    )


def test_it_is_read_as_it_was_written() -> None:
    assert Reference.from_json(reference().to_json()) == reference()


def test_a_figure_takes_some_kilobytes() -> None:
    assert len(json.dumps(json.loads(reference().to_json())["figures"])) < 6000


def test_another_version_and_another_form_are_refused() -> None:
    value = json.loads(reference().to_json())
    with pytest.raises(ValueError, match=r"reference.*version: expected 1, got 2"):
        Reference.from_json(json.dumps(value | {"version": 2}))
    with pytest.raises(ValueError, match="expected the keys of Reference"):
        Reference.from_json(json.dumps(value | {"users_of": []}))
    value["figures"]["match_raw"]["at"][0] = 10_001
    with pytest.raises(ValueError, match="expected ascending points"):
        Reference.from_json(json.dumps(value))


def test_shares_of_categories_leave_room_for_rows_without_one() -> None:
    found = Categories.of(np.array([0, 0, 1, -1]), ("web", "app"), np.arange(4))
    assert found.names == ("web", "app")
    close(found.shares, [0.5, 0.25], "exact")


def test_the_most_frequent_categories_are_kept() -> None:
    codes = np.concatenate([np.arange(200), np.full(10, 150)])
    found = Categories.of(codes, tuple(map(str, range(200))), np.arange(len(codes)))
    assert len(found.names) == MAX_CATEGORIES
    assert found.names[0] == "150"
