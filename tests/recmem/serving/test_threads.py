"""One model called by many threads at once answers each as if it were called alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import polars as pl
import pytest

from debian_model import model_of, trained_model
from feature_store.point_in_time.covisitation import Covisitation
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.serving.model import Model

N_THREADS = 8
N_CALLS = 48


def together(calls: list[Callable[[], object]]) -> list[object]:
    """Results of the calls, which all threads begin at the same time."""
    begin = Barrier(N_THREADS)

    def run(thread: int) -> list[object]:
        begin.wait()
        return [call() for call in calls[thread::N_THREADS]]

    results: list[object] = [None] * len(calls)
    with ThreadPoolExecutor(N_THREADS) as pool:
        for thread, part in enumerate(pool.map(run, range(N_THREADS))):
            results[thread::N_THREADS] = part
    return results


def request(number: int) -> pl.DataFrame:
    """Candidates of the query with this number: some users, and one item each, are unknown."""
    events = trained_model().events.sort("timestamp", "user_id", "item_id")
    items = trained_model().items["item_id"]
    event = events.row(len(events) - 1 - 11 * number, named=True)
    known = items.head(number % 20 + 1)
    return pl.DataFrame(
        {
            "user_id": "nobody" if number % 5 == 0 else event["user_id"],
            "item_id": [*known, f"new {number % 7}"],
            "timestamp": event["timestamp"],
            "title": [None] * len(known) + [f"a text of its own {number % 7}"],
        }
    )


def expected_unmatched(number: int) -> UnmatchedRows:
    n_rows = number % 20 + 2
    return UnmatchedRows(unknown_users=n_rows if number % 5 == 0 else 0, unknown_items_with_text=1)


def calls_of(model: Model) -> list[Callable[[], object]]:
    """Calls of all kinds, each with the arguments of its own number."""

    def call(number: int) -> object:
        frame = request(number)
        user = frame["user_id"][0]
        match number % 5:
            case 0 | 1:
                report = model.rank_with_report(frame)
                return report.frame, report.unmatched
            case 2:
                report = model.match_with_report(frame)
                return report.frame, report.unmatched
            case 3:
                return model.recommend([user], k=3, timestamp=frame["timestamp"][0])
            case _:
                return model.explain(user, frame["item_id"][0], timestamp=frame["timestamp"][0])

    return [lambda number=number: call(number) for number in range(N_CALLS)]  # type: ignore[misc]


def same(one: object, other: object) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return all(map(same, one, other))
    return one.equals(other) if isinstance(one, pl.DataFrame) else one == other


@pytest.fixture(scope="module")
def alone() -> list[object]:
    """What one call after the other gives."""
    return [call() for call in calls_of(model_of(trained_model().events))]


def test_calls_in_many_threads_give_what_they_give_one_after_the_other(alone: list[object]) -> None:
    # A new model, so that the threads also fill its caches together.
    results = together(calls_of(model_of(trained_model().events)))
    assert all(map(same, results, alone))
    reports = {number: result[1] for number, result in enumerate(alone) if isinstance(result, tuple)}
    assert len(reports) > N_CALLS // 2
    assert reports == {number: expected_unmatched(number) for number in reports}


def test_answers_while_events_are_observed_are_those_before_or_after(alone: list[object]) -> None:
    # Events after every request: no answer may change, whatever has been observed when it is given.
    events = trained_model().events
    model = model_of(events)
    new = [
        pl.DataFrame(
            {
                "user_id": [f"observed {number}"] * 3,
                "item_id": trained_model().items["item_id"].slice(number, 3),
                "timestamp": ["2031-01-01"] * 3,
            }
        )
        for number in range(N_CALLS)
    ]
    observe = [lambda frame=frame: model.observe(frame).n_new for frame in new]
    mixed = [call for pair in zip(calls_of(model), observe, strict=True) for call in pair]
    results = together(mixed)  # type: ignore[arg-type]
    assert all(map(same, results[::2], alone))
    assert results[1::2] == [3] * N_CALLS
    # No event was lost between two threads.
    assert len(model.dataset.events) == len(events) + 3 * N_CALLS
    for number in range(N_CALLS):
        assert model.memory(f"observed {number}")["item_id"].sort().to_list() == sorted(new[number]["item_id"])


def test_threads_that_need_the_same_item_item_model_fit_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[int] = []
    fit = Covisitation.fit

    def counted(*arguments: object, **options: object) -> Covisitation:
        fitted.append(1)
        time.sleep(0.1)  # the other threads get here, if nothing holds them back
        return fit(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Covisitation, "fit", counted)
    model = model_of(trained_model().events)
    frame = request(1)
    together([lambda: model.rank(frame)] * N_THREADS)
    assert fitted == [1]
