"""Eight threads observe while eight rank: no event is lost, no call sees half of one, no call counts for another.

Each observing thread has a user and items of its own, and its events come after the last refresh of the item-item
models. So a ranking of that user depends on the thread's own events only, and has to be what a model alone gave after
some number of them: at least those acknowledged before the ranking began, at most those begun when it ended.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from threading import Barrier
from typing import Any

import polars as pl
import pytest

import recmem
from debian_model import model_of, trained_model
from feature_store import Receipt
from feature_store.redis import RedisMemories
from recmem.dataset import dataset as dataset_module
from recmem.dataset.shared_memories import publish
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.serving.model import Model, Scored

N_THREADS = 8
"""That observe, and as many that rank."""
N_EVENTS = 14
"""Calls of each observing thread."""
N_RANKINGS = 10
"""Calls of each ranking thread."""
N_ITEMS = 7
"""Items of a thread."""
NAMES = count()


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def user_of(thread: int) -> str:
    return f"observed by {thread}"


def items_of(thread: int) -> pl.Series:
    return trained_model().items["item_id"].slice(thread * N_ITEMS, N_ITEMS)


@functools.cache
def last_time() -> Any:
    return trained_model().events.select(pl.max_horizontal("timestamp", "available_at").max()).item()


def plain(thread: int, number: int) -> pl.DataFrame:
    """The call's event, `thread` rows that cannot be read, and every fourth time the event of the call before."""
    rows = [number - 1, number] if number % 4 == 3 else [number]
    events = pl.DataFrame(
        {
            "user_id": [user_of(thread)] * len(rows),
            "item_id": [items_of(thread)[row % N_ITEMS] for row in rows],
            "timestamp": [str(last_time() + timedelta(seconds=row + 1)) for row in rows],
        }
    )
    unreadable = pl.DataFrame({"user_id": [user_of(thread)], "item_id": ["x"], "timestamp": ["no time"]})
    return pl.concat([events, *[unreadable] * thread])


def with_cancellations(thread: int, number: int) -> pl.DataFrame:
    """As `plain`, each event with an id; every third call cancels the event of the call before."""
    time = str(last_time() + timedelta(seconds=number + 1))
    if number % 3 != 2:
        item, event, cancels = items_of(thread)[number % N_ITEMS], f"{thread}/{number}", None
    else:
        item, event, cancels = items_of(thread)[(number - 1) % N_ITEMS], None, f"{thread}/{number - 1}"
    row = {"user_id": user_of(thread), "item_id": item, "timestamp": time, "event_id": event, "cancels": cancels}
    return pl.DataFrame([row], schema_overrides={"event_id": pl.String, "cancels": pl.String})


def candidates(thread: int) -> pl.DataFrame:
    """The thread's own items, and `thread` items that nobody knows."""
    items = [*items_of(thread), *(f"unknown {number}" for number in range(thread))]
    later = last_time() + timedelta(hours=1)
    return pl.DataFrame({"user_id": user_of(thread), "item_id": items, "timestamp": [later] * len(items)})


def unmatched(thread: int, *, is_known: bool) -> UnmatchedRows:
    return UnmatchedRows(
        unknown_users=0 if is_known else N_ITEMS + thread, unknown_items_without_text=thread if thread else 0
    )


@dataclass
class Turns:
    """What one pair of threads did: its receipts, and each ranking with how far the observing thread had come."""

    receipts: list[Receipt] = field(default_factory=list)
    n_begun: int = 0
    rankings: list[tuple[int, Scored[pl.DataFrame], int]] = field(default_factory=list)


def alone(new_model: Callable[[], Model], events: Callable[[int, int], pl.DataFrame], thread: int) -> Any:
    """Receipts, and the ranking after each number of events, of a model that one thread uses."""
    model = new_model()
    receipts = []
    rankings = [model.rank_with_report(candidates(thread))]
    for number in range(N_EVENTS):
        receipts.append(model.observe(events(thread, number)))
        rankings.append(model.rank_with_report(candidates(thread)))
    return receipts, rankings, model.memory(user_of(thread))


def together(model: Model, events: Callable[[int, int], pl.DataFrame]) -> list[Turns]:
    """Sixteen threads that begin at the same time."""
    turns = [Turns() for _ in range(N_THREADS)]
    begin = Barrier(2 * N_THREADS)

    def observe(thread: int) -> None:
        begin.wait()
        for number in range(N_EVENTS):
            turns[thread].n_begun = number + 1
            turns[thread].receipts.append(model.observe(events(thread, number)))

    def rank(thread: int) -> None:
        begin.wait()
        for _ in range(N_RANKINGS):
            n_acknowledged = len(turns[thread].receipts)
            report = model.rank_with_report(candidates(thread))
            turns[thread].rankings.append((n_acknowledged, report, turns[thread].n_begun))

    with ThreadPoolExecutor(2 * N_THREADS) as pool:
        running = [pool.submit(work, thread) for thread in range(N_THREADS) for work in (observe, rank)]
        for each in running:
            each.result()
    return turns


def check(
    model: Model, turns: list[Turns], new_model: Callable[[], Model], events: Callable[[int, int], pl.DataFrame]
) -> None:
    for thread, turn in enumerate(turns):
        receipts, rankings, memory = alone(new_model, events, thread)
        assert turn.receipts == receipts
        assert model.memory(user_of(thread)).equals(memory)
        for n_acknowledged, report, n_begun in turn.rankings:
            possible = rankings[n_acknowledged : n_begun + 1]
            assert any(report.frame.equals(one.frame) and report.unmatched == one.unmatched for one in possible)


def a_model() -> Model:
    return model_of(trained_model().events)


@pytest.mark.parametrize("round_number", range(3))
@pytest.mark.parametrize(
    ("events", "longest_tail"),
    [(plain, None), (plain, 10), (with_cancellations, None), (with_cancellations, 5)],
    ids=["growing", "merged often", "cancelled", "cancelled and merged often"],
)
def test_no_event_is_lost_and_every_ranking_is_that_of_some_moment(
    events: Callable[[int, int], pl.DataFrame],
    longest_tail: int | None,
    round_number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if longest_tail is not None:
        monkeypatch.setattr(dataset_module, "LONGEST_TAIL", longest_tail)
    model = a_model()
    n_before = len(model.dataset.events)
    turns = together(model, events)
    n_new = sum(receipt.n_new for turn in turns for receipt in turn.receipts)
    assert n_new == N_THREADS * N_EVENTS
    assert len(model.dataset.events) == n_before + n_new
    if round_number == 0:
        assert turns[3].receipts[3].n_rejected == (3 if events is plain else 0)
        assert turns[3].receipts[3].n_duplicate == (1 if events is plain else 0)
        check(model, turns, a_model, events)
    for thread, turn in enumerate(turns):
        for n_acknowledged, report, _ in turn.rankings:
            assert report.unmatched in (
                [unmatched(thread, is_known=True)]
                if n_acknowledged
                else [unmatched(thread, is_known=True), unmatched(thread, is_known=False)]
            )


def test_a_rank_without_a_time_reads_the_clock_and_the_events_of_one_moment() -> None:
    # The clock moves with each event: a clock of one moment over events of another would leave the newest event out.
    model = a_model()
    model.observe(plain(0, 0))
    begin = Barrier(2)

    def observe() -> None:
        begin.wait()
        for number in range(1, 40):
            model.observe(plain(0, number))

    def read() -> list[pl.DataFrame]:
        begin.wait()
        return [model.memory(user_of(0)) for _ in range(60)]

    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(read)
        pool.submit(observe).result()
        memories = reading.result()
    start = last_time()
    for memory in memories:
        seconds = [round((time - start).total_seconds()) for time in memory["timestamp"]]
        newest = seconds[0]
        assert seconds == list(range(newest, newest - len(seconds), -1))
    assert [len(memory) for memory in memories] == sorted(len(memory) for memory in memories)


def test_threads_over_shared_memories_lose_nothing(redis_url: str) -> None:
    def shared() -> Model:
        memories = RedisMemories(f"{redis_url}#threads{next(NAMES)}", timeout=30)
        model = a_model()
        publish(model.dataset, memories)
        model.memories = memories
        return model

    model = shared()
    turns = together(model, plain)
    assert sum(receipt.n_new for turn in turns for receipt in turn.receipts) == N_THREADS * N_EVENTS
    for thread in (0, 3):
        receipts, rankings, memory = alone(shared, plain, thread)
        assert turns[thread].receipts == receipts
        assert model.memory(user_of(thread)).equals(memory)
        for n_acknowledged, report, n_begun in turns[thread].rankings:
            assert any(report.frame.equals(one.frame) for one in rankings[n_acknowledged : n_begun + 1])
    assert model.memories is not None
    model.memories.clear()


def test_threads_of_a_model_server_share_one_load(monkeypatch: pytest.MonkeyPatch) -> None:
    from recmem.pyfunc import PyfuncModel

    loads: list[str] = []

    def load(source: str, **options: Any) -> Model:
        loads.append(source)
        return a_model()

    monkeypatch.setattr(recmem, "load", load, raising=False)
    served = PyfuncModel()
    config = {"stores": ["/another"]}
    context: Any = type("Context", (), {"artifacts": {"bundle": "here"}, "model_config": config})
    served.load_context(context)
    frames = [candidates(thread).to_pandas() for thread in range(N_THREADS)]
    begin = Barrier(N_THREADS)

    def predict(thread: int) -> Any:
        begin.wait()
        return served.predict(context, frames[thread], {"store": "/another"})

    with ThreadPoolExecutor(N_THREADS) as pool:
        answers = list(pool.map(predict, range(N_THREADS)))
    # The bundle's own store when the server starts, the other one on the first request for it.
    assert loads == ["here", "here"]
    model = a_model()
    for frame, answer in zip(frames, answers, strict=True):
        assert answer.drop(columns=["unknown_user", "unknown_item"]).equals(model.rank(frame))
