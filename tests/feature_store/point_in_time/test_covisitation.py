from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time import covisitation as covisitation_module
from feature_store.point_in_time.covisitation import (
    FEATURES,
    Covisitation,
    CovisitationConfig,
    CovisitationTimeline,
)
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from slow_reference import Event, is_known
from strategies import LAST_TIME, N_ITEMS, N_USERS, event_log, logs, times
from tolerances import close

CONFIG = CovisitationConfig(shrinkage=1.5, lags=2, ease_ridge=2.0)
MODELS = ("together", "follow", "near", "ease", "ease_text")
WORDS = sp.csr_matrix(np.array([[0.6, 0.8, 0, 0], [0.6, 0, 0.8, 0], [0, 0, 0, 1]], np.float32)[np.arange(N_ITEMS) % 3])
"""The items' texts: every third item has the same."""
SLOW_AND_FAST = ("follow", "ease_text")
LATEST_VISIT = np.inf
EVERY_USER = np.arange(N_USERS)

FEWER = settings(max_examples=20)  # each fits several models


def fit(log: list[Event], **changes: Any) -> Covisitation:
    config = CovisitationConfig(**{"shrinkage": 1.5, "lags": 2, "ease_ridge": 2.0, **changes})
    return Covisitation.fit(event_log(log), N_ITEMS, config, WORDS)


def histories_at(log: list[Event], time: int, limit: int = 99) -> Histories:
    return Histories.as_of(event_log(log), EVERY_USER, np.full(N_USERS, time), limit)


def timeline(log: list[Event], *, origin: int = 3, refresh: int = 4) -> CovisitationTimeline:
    return CovisitationTimeline(event_log(log), N_ITEMS, origin, refresh, CONFIG, lambda: WORDS)


def same(a: Covisitation, b: Covisitation) -> bool:
    return all(np.array_equal(getattr(a, name).toarray(), getattr(b, name).toarray()) for name in MODELS)


def test_together_is_the_shrunk_cosine_by_hand() -> None:
    log = [Event(0, 0, 1), Event(0, 1, 1), Event(1, 0, 2), Event(1, 1, 5), Event(2, 0, 3)]
    weights = fit(log).together.toarray()
    close(weights[0, 1], 2 / (math.sqrt(3 * 2) + 1.5), "float32")
    close(weights[1, 0], weights[0, 1], "exact")
    assert np.count_nonzero(weights) == 2


def test_follow_by_hand_weighs_by_lag_and_basket_size_and_leaves_out_negative_events() -> None:
    log = [Event(0, 0, 1), Event(0, 1, 2), Event(0, 2, 2), Event(0, 3, 3), Event(0, 4, 4, "skip"), Event(0, 4, 5)]
    weights = fit(log).follow.toarray()
    root = 1 / math.sqrt(2)
    totals = np.zeros((N_ITEMS, N_ITEMS))
    totals[0, 1] = totals[0, 2] = root  # a visit later, in a basket of two
    totals[0, 3] = 1 / 2  # two visits later
    totals[1, 3] = totals[2, 3] = root
    totals[3, 4] = 1 / 2  # the skip between the two is a visit, but nothing positive follows in it
    row_scale = 1 / np.sqrt(totals.sum(1) + 1)
    column_scale = 1 / np.sqrt(totals.sum(0) + 1)
    close(weights, totals * row_scale[:, None] * column_scale, "float32")


def test_near_by_hand_weighs_by_distance_in_either_order_and_within_a_visit() -> None:
    log = [Event(0, 0, 1), Event(0, 1, 2), Event(0, 2, 2), Event(0, 3, 3)]
    weights = fit(log, near_lags=1).near.toarray()
    one_apart = math.exp(-1 / 5) / math.sqrt(2)
    norm = 1 + 1.5  # each item has one user
    close(weights[0, 1], one_apart / norm, "float32")
    close(weights[1, 0], weights[0, 1], "exact")
    close(weights[1, 2], 1 / 2 / norm, "float32")  # one visit of two events
    assert weights[0, 3] == 0  # two visits apart


def test_text_links_items_without_an_event() -> None:
    log = [Event(user, item, 1) for item in range(2) for user in range(N_USERS)]
    fitted = fit(log, text_weight=50.0)
    assert not fitted.ease.toarray()[:, 3].any()
    weights = fitted.ease_text.toarray()
    assert weights[0, 3] > 0  # the same text
    assert weights[1, 4] > 0
    assert weights[0, 4] == 0  # the word that they share is explained by item 1, which has all words of item 4
    assert weights[2, 3] == 0  # no word in common


def test_items_beyond_the_most_frequent_are_the_ridge_regression_on_these() -> None:
    log = [Event(user, item, 1) for item in range(4) for user in range(N_USERS - item // 2)]
    weights = fit(log, ease_items=2, text_weight=3.0).ease_text.toarray()
    gram = slow_reference.pair_counts(log, N_ITEMS) + 3.0 * (WORDS @ WORDS.T).toarray()
    kept = [0, 1]
    others = list(range(2, N_ITEMS))
    regression = np.linalg.solve(gram[np.ix_(kept, kept)] + 2.0 * np.eye(2), gram[np.ix_(kept, others)])
    close(weights[:2, 2:], np.maximum(regression, 0), "float32")
    assert not weights[2:].any()


def test_without_texts_there_are_no_text_weights() -> None:
    log = [Event(0, 0, 1), Event(0, 1, 2)]
    assert Covisitation.fit(event_log(log), N_ITEMS, CONFIG).ease_text.nnz == 0


def test_events_of_one_visit_do_not_follow_each_other() -> None:
    assert fit([Event(0, item, 7) for item in range(4)]).follow.nnz == 0


@FEWER
@given(logs(late=False))
def test_models_are_those_of_the_oracle(log: list[Event]) -> None:
    fitted = fit(log)
    close(fitted.together.toarray(), slow_reference.together(log, N_ITEMS, 1.5), "float32")
    close(fitted.follow.toarray(), slow_reference.follow(log, N_ITEMS, 2), "float32")
    close(fitted.near.toarray(), slow_reference.near(log, N_ITEMS, 5, 1.5), "float32")
    close(fitted.ease.toarray(), slow_reference.ease(log, N_ITEMS, 2.0), "float32")
    text_gram = 100.0 * (WORDS @ WORDS.T).toarray()
    close(fitted.ease_text.toarray(), slow_reference.ease(log, N_ITEMS, 2.0, text_gram), "float32")


@FEWER
@given(logs(), st.integers(1, 4))
def test_only_the_newest_events_of_a_user_count_as_together(log: list[Event], limit: int) -> None:
    newest = [
        [event for event in slow_reference.in_order(log) if event.user == user][-limit:] for user in range(N_USERS)
    ]
    expected = slow_reference.together([event for events in newest for event in events], N_ITEMS, 1.5)
    close(fit(log, history=limit).together.toarray(), expected, "float32")


def test_ease_covers_the_most_frequent_items() -> None:
    log = [Event(user, item, 1) for item in range(4) for user in range(N_USERS - item // 2)]
    weights = fit(log, ease_items=2).ease.toarray()
    assert weights[0, 1] > 0
    assert not weights[2:].any()
    assert not weights[:, 2:].any()


@FEWER
@given(logs(late=False), times())
def test_scores_are_sums_over_the_history(log: list[Event], time: int) -> None:
    fitted = fit(log, half_lives=(1.0, 4.0))
    scores = fitted.scores(histories_at(log, time))
    assert tuple(scores) == FEATURES
    decays: dict[str, float] = {"together": 0, "together_recent": 1, "ease": 0, "ease_recent": 1 / 4}
    decays |= {"near": 1, "near_recent": LATEST_VISIT}
    decays |= {f"{model}{suffix}": decay for model in SLOW_AND_FAST for suffix, decay in (("", 1 / 4), ("_recent", 1))}
    assert decays.keys() == set(FEATURES)
    for name, decay in decays.items():
        model = getattr(fitted, name.removesuffix("_recent")).toarray().astype(np.float64)
        for user in range(N_USERS):
            history = slow_reference.history(log, user, time, 99)
            if decay == LATEST_VISIT:
                parts = [model[entry.item] for entry in history if entry.recency == 0]
            elif decay:
                parts = [2 ** (-decay * entry.recency) * model[entry.item] for entry in history]
            else:
                parts = [model[item] for item in {entry.item for entry in history}]
            close(scores[name][user], np.sum(parts, axis=0) if parts else np.zeros(N_ITEMS), "float32")


@pytest.mark.parametrize("is_compiled", [True, False])
@FEWER
@given(logs(late=False), times(), st.data(), st.integers(1, 30))
def test_scores_of_single_pairs_are_those_of_the_whole_catalogue_to_the_bit(
    is_compiled: bool, log: list[Event], time: int, data: st.DataObject, cells: int
) -> None:
    if is_compiled:
        pytest.importorskip("numba", reason="pip install 'recmem[numba]'")
    fitted = fit(log, half_lives=(1.0, 4.0))
    histories = histories_at(log, time)
    rows = st.lists(st.integers(0, N_ITEMS + 2), max_size=5)  # some are not items of the models
    candidates = Ragged.from_lists(data.draw(st.lists(rows, min_size=N_USERS, max_size=N_USERS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(covisitation_module, "MAX_GRID_CELLS", cells)
        if not is_compiled:
            patch.setattr(covisitation_module, "find_spec", lambda name: None)
        found = fitted.pair_scores(histories, candidates, n_threads=2)
    whole = {name: np.pad(grid, ((0, 0), (0, 3))) for name, grid in fitted.scores(histories).items()}
    assert tuple(found) == FEATURES
    for name, column in found.items():
        close(column, whole[name][candidates.row_index, candidates.values], "exact")


@FEWER
@given(logs())
def test_an_empty_history_scores_zero(log: list[Event]) -> None:
    scores = fit(log).scores(histories_at(log, 0))
    assert not any(column.any() for column in scores.values())


@FEWER
@given(logs(), times())
def test_a_time_is_served_by_what_was_known_at_its_last_refresh(log: list[Event], time: int) -> None:
    line = timeline(log, origin=3, refresh=4)
    refreshed = 3 + (time - 3) // 4 * 4
    assert refreshed <= time < refreshed + 4
    known = [event for event in log if is_known(event, refreshed)]
    served = line.at(int(line.periods(np.array([time]))[0]))
    assert same(served, Covisitation.fit(event_log(known), N_ITEMS, CONFIG, WORDS))


@FEWER
@given(logs(), logs(from_time=LAST_TIME), st.integers(0, LAST_TIME))
def test_events_at_or_after_a_time_change_no_model_that_serves_it(
    past: list[Event], future: list[Event], origin: int
) -> None:
    known = [event for event in past if is_known(event, LAST_TIME)]
    lines = [timeline(log, origin=origin) for log in (past, past + future, known)]
    served = [line.at(int(line.periods(np.array([LAST_TIME]))[0])) for line in lines]
    assert same(served[0], served[1])
    assert same(served[0], served[2])


@FEWER
@given(logs(), logs(), st.lists(times(), min_size=1, max_size=4))
def test_models_kept_from_an_earlier_timeline_are_those_that_would_be_fitted(
    log: list[Event], more: list[Event], at: list[int]
) -> None:
    earlier = timeline(log)
    later = timeline(log + more)
    fresh = timeline(log + more)
    periods = [int(period) for period in earlier.periods(np.array(at))]
    for period in periods:
        earlier.at(period)
    later.take_over(earlier, before=min((slow_reference.first_known(event) for event in more), default=10**9))
    assert all(same(later.at(period), fresh.at(period)) for period in periods)


def test_models_are_fitted_once_per_state_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    fit_of = Covisitation.fit
    monkeypatch.setattr(Covisitation, "fit", lambda log, *rest: (fitted.append(len(log)), fit_of(log, *rest))[1])
    line = timeline([Event(0, 0, 0), Event(0, 1, 5), Event(1, 1, 40)], origin=0, refresh=2)
    for period in (0, 1, 1, 2, 3, 4, 5, 30):
        line.at(period)
    assert fitted == [0, 1, 2, 3]
