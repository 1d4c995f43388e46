"""Kept item-item models: the same as fitted ones to the bit, under a name that changes with all that they depend on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from safetensors.numpy import load, save

from feature_store.arrays import IntArray
from feature_store.derived_files import DERIVED_FOLDER, DerivedFiles
from feature_store.point_in_time import covisitation_cache
from feature_store.point_in_time.covisitation import Covisitation, CovisitationConfig, CovisitationTimeline
from feature_store.point_in_time.covisitation_cache import CovisitationCache, source_digest
from feature_store.point_in_time.event_log import EventLog

N_ITEMS = 12
CONFIG = CovisitationConfig(neighbours=5, ease_ridge=2.0)
WORDS = sp.csr_matrix(np.eye(N_ITEMS, 4, dtype=np.float32))
FITTED = "fitted"


def log(*, first_user: int = 0, seed: int = 0) -> EventLog:
    random = np.random.default_rng(seed)
    times: IntArray = np.sort(random.integers(0, 50, 60))
    return EventLog(
        user_rows=first_user + random.integers(0, 6, 60),
        item_rows=random.integers(0, N_ITEMS, 60),
        times=times,
        known=times,
        signs=random.integers(-1, 2, 60).astype(np.int8),
    )


def cache(folder: Path, words: str = "") -> CovisitationCache:
    return CovisitationCache(DerivedFiles(folder), lambda: words)


def fresh() -> Covisitation:
    return Covisitation.fit(log(), N_ITEMS, CONFIG, WORDS)


def kept_files(folder: Path) -> list[Path]:
    return [path for path in (folder / DERIVED_FOLDER).rglob("item_item-*") if path.is_file()]


def is_same(a: Covisitation, b: Covisitation) -> bool:
    return a.config == b.config and all(
        np.array_equal(getattr(a.models[name], part), getattr(b.models[name], part))
        and getattr(a.models[name], part).dtype == getattr(b.models[name], part).dtype
        for name in a.models
        for part in ("data", "indices", "indptr")
    )


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From its call on, fitting raises."""

    def fail(*args: object) -> Covisitation:
        raise AssertionError(FITTED)

    return lambda: monkeypatch.setattr(covisitation_cache.Covisitation, "fit", fail)


def test_kept_models_are_those_of_a_fit_to_the_bit(tmp_path: Path, no_fit: Any) -> None:
    expected = fresh()
    assert expected.ease_text.nnz > 0
    assert is_same(cache(tmp_path).fitted(log(), N_ITEMS, CONFIG, lambda: WORDS), expected)
    no_fit()
    # Another process, which does not even make the words.
    assert is_same(cache(tmp_path).fitted(log(), N_ITEMS, CONFIG, lambda: pytest.fail("words")), expected)


def test_another_user_who_comes_in_before_the_others_changes_nothing(tmp_path: Path, no_fit: Any) -> None:
    cache(tmp_path).fitted(log(), N_ITEMS, CONFIG, lambda: WORDS)
    no_fit()
    cache(tmp_path).fitted(log(first_user=3), N_ITEMS, CONFIG, lambda: WORDS)


def test_the_same_events_of_one_user_and_of_two_have_names_of_their_own(tmp_path: Path, no_fit: Any) -> None:
    events = log().rows(slice(0, 4))
    one, two = (replace(events, user_rows=np.array(users)) for users in ([0, 0, 0, 0], [0, 0, 1, 1]))
    assert np.array_equal(one.by_user.order, two.by_user.order)
    cache(tmp_path).fitted(one, N_ITEMS, CONFIG, lambda: WORDS)
    no_fit()
    with pytest.raises(AssertionError, match=FITTED):
        cache(tmp_path).fitted(two, N_ITEMS, CONFIG, lambda: WORDS)


@pytest.mark.parametrize("changed", ["events", "time", "sign", "user", "items", "settings", "words", "code"])
def test_whatever_the_models_depend_on_changes_the_name(
    tmp_path: Path, changed: str, no_fit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache(tmp_path).fitted(log(), N_ITEMS, CONFIG, lambda: WORDS)
    other = log(seed=1) if changed == "events" else log()
    for column, of_array in (("time", "times"), ("sign", "signs"), ("user", "user_rows")):
        if changed == column:
            array = getattr(other, of_array).copy()
            array[-1] += 1
            other = replace(other, **{of_array: array})
    config = replace(CONFIG, lags=2) if changed == "settings" else CONFIG
    if changed == "code":
        monkeypatch.setattr(covisitation_cache, "source_digest", lambda module: "other")
    no_fit()
    words = "other" if changed == "words" else ""
    with pytest.raises(AssertionError, match=FITTED):
        cache(tmp_path, words).fitted(other, N_ITEMS + (changed == "items"), config, lambda: WORDS)


@pytest.mark.parametrize("damage", ["cut", "no_model", "out_of_range", "wrong_type"])
def test_models_that_are_damaged_or_do_not_fit_are_fitted_anew(tmp_path: Path, damage: str) -> None:
    cache(tmp_path).fitted(log(), N_ITEMS, CONFIG, lambda: WORDS)
    (path,) = kept_files(tmp_path)
    files = DerivedFiles(tmp_path)
    content = files.read(path.name)
    assert content is not None
    arrays = load(content)
    if damage == "no_model":
        del arrays["ease.data"]
    elif damage == "out_of_range":
        arrays["near.indices"][0] = N_ITEMS
    elif damage == "wrong_type":
        arrays["near.data"] = arrays["near.data"].astype(np.float64)
    files.write(path.name, content[:100] if damage == "cut" else save(arrays))
    assert is_same(cache(tmp_path).fitted(log(), N_ITEMS, CONFIG, lambda: WORDS), fresh())
    assert files.read(path.name) == content


def test_code_without_its_source_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source_digest(ModuleType("unknown")) is None
    monkeypatch.setattr(covisitation_cache, "source_digest", lambda module: None)
    assert is_same(cache(tmp_path).fitted(log(), N_ITEMS, CONFIG, lambda: WORDS), fresh())
    assert kept_files(tmp_path) == []


def test_models_that_are_too_large_to_keep_are_fitted_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covisitation_cache, "MOST_BYTES", 1000)
    monkeypatch.setattr(covisitation_cache, "_to_bytes", lambda models: pytest.fail("copied"))
    assert is_same(cache(tmp_path).fitted(log(), N_ITEMS, CONFIG, lambda: WORDS), fresh())
    assert kept_files(tmp_path) == []


def test_a_timeline_keeps_the_models_of_its_own_log_only(tmp_path: Path) -> None:
    timeline = CovisitationTimeline(log(), N_ITEMS, 0, 10, CONFIG, lambda: WORDS, cache(tmp_path))
    expected = Covisitation.fit(log().until(30), N_ITEMS, CONFIG, WORDS)
    assert is_same(timeline.at(3), expected)
    assert len(kept_files(tmp_path)) == 1
    (current,) = timeline.periods_of(np.array([log().clock]))
    (tmp_path / "current").mkdir()
    only_current = CovisitationTimeline(
        log(), N_ITEMS, 0, 10, CONFIG, lambda: WORDS, cache(tmp_path / "current"), caches_only_current=True
    )
    only_current.at(2)
    assert kept_files(tmp_path / "current") == []
    only_current.at(current)
    assert len(kept_files(tmp_path / "current")) == 1
    # Observed events are in no store, so nothing that is made of them may lie there.
    assert timeline.of_log(log(seed=1)).cache is None
