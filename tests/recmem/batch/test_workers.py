"""Worker processes: their results in order, their errors, and that none of them is left."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Lock

import polars as pl
import pytest

from feature_store import DataError
from recmem.batch.workers import SPARE, WorkerKilledError, Workers, usable_cores
from worker_scorers import Doubled, Process, UnpicklableError

SCORER = Doubled(pl.DataFrame({"factor": [2]}))
N_FRAMES = 12


def frames(**what: str) -> Iterator[pl.DataFrame]:
    """One row each: `number`, and what is to be done at some numbers."""
    for number in range(N_FRAMES):
        yield pl.DataFrame({"number": number, "what": what.get(f"at_{number}", "")})


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_results_come_in_the_order_of_the_frames() -> None:
    with Workers(SCORER, 3) as workers:
        found = pl.concat(workers.in_order(frames(at_0="wait", at_4="wait")))
    assert found["score"].to_list() == [2 * number for number in range(N_FRAMES)]


def test_only_a_few_frames_are_in_memory() -> None:
    n_read = 0

    def counted() -> Iterator[pl.DataFrame]:
        nonlocal n_read
        for frame in frames():
            n_read += 1
            yield frame

    with Workers(SCORER, 2) as workers:
        for n_given, _ in enumerate(workers.in_order(counted()), start=1):
            assert n_read <= n_given + 2 + SPARE


def test_an_error_is_raised_in_its_place_as_it_was() -> None:
    found: list[int] = []
    with Workers(SCORER, 2) as workers:
        results = workers.in_order(frames(at_5="refuse"))
        with pytest.raises(DataError, match=r"expected an even one, got 5\. Add one\.") as error:
            found.extend(frame["score"][0] for frame in results)
    assert found == [0, 2, 4, 6, 8]
    assert "worker_scorers.py" in str(error.value.__cause__)


def test_a_connection_of_its_own_that_a_scorer_loses_is_raised_here() -> None:
    with Workers(SCORER, 2) as workers, pytest.raises(ConnectionResetError, match="the store's server"):
        list(workers.in_order(frames(at_1="disconnect")))


def test_an_error_that_cannot_be_pickled_keeps_its_name_and_text() -> None:
    with Workers(SCORER, 2) as workers, pytest.raises(RuntimeError, match="UnpicklableError: ab"):
        list(workers.in_order(frames(at_1="stop")))


def test_a_killed_worker_is_named_in_words() -> None:
    with (
        Workers(SCORER, 2) as workers,
        pytest.raises(WorkerKilledError, match=r"signal 9 \(SIGKILL\): probably memory ran out. Give fewer --workers"),
    ):
        list(workers.in_order(frames(at_3="die")))


def test_what_a_worker_logs_is_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "recmem"), Workers(SCORER, 2) as workers:
        list(workers.in_order(frames(at_2="log", at_7="log")))
    assert [record.message for record in caplog.records] == ["number 2", "number 7"]


def test_questions_are_answered_in_the_order_of_the_frames() -> None:
    asked: list[int] = []

    def answer(question: int) -> int:
        asked.append(question)
        return -question

    with Workers(SCORER, 3, answer=answer) as workers:
        asks = {f"at_{number}": "ask" for number in range(1, N_FRAMES, 2)}
        found = pl.concat(workers.in_order(frames(at_0="wait", **asks)))
    assert asked == list(range(1, N_FRAMES, 2))
    assert found["score"].to_list() == [-n if n % 2 else 2 * n for n in range(N_FRAMES)]


class SlowToPickle(pl.DataFrame):
    """A frame whose thread is the last to be ready for a worker."""

    def __reduce__(self) -> tuple[object, ...]:
        time.sleep(0.5)
        return pl.DataFrame, (self.to_dict(as_series=False),)


def test_an_earlier_frame_gets_a_worker_before_later_ones_that_wait_for_it() -> None:
    asking = [frame.with_columns(what=pl.lit("ask")) for frame in frames()]
    asking[0] = SlowToPickle(asking[0])
    with Workers(SCORER, 2, answer=lambda question: -question) as workers:
        found = pl.concat(workers.in_order(asking))
    assert found["score"].to_list() == [-number for number in range(N_FRAMES)]


def test_what_the_answer_raises_is_raised_here() -> None:
    def answer(question: int) -> int:
        raise DataError("encoder: expected one, got none. Give one.")

    with Workers(SCORER, 2, answer=answer) as workers, pytest.raises(DataError, match="encoder: expected one"):
        list(workers.in_order(frames(at_1="ask")))


def test_questions_are_answered_one_at_a_time_after_an_error_too() -> None:
    answering = Lock()
    n_together = 0

    def answer(question: int) -> int:
        nonlocal n_together
        if question == 0:
            raise DataError("encoder: expected one, got none. Give one.")
        if not answering.acquire(blocking=False):
            n_together += 1
            return question
        time.sleep(0.5)  # the error of the first frame is raised meanwhile
        answering.release()
        return question

    with Workers(SCORER, 4, answer=answer) as workers, pytest.raises(DataError, match="encoder: expected one"):
        list(workers.in_order(frames(at_0="ask", at_1="ask", at_2="ask", at_3="ask")))
    assert n_together == 0


def test_an_error_of_the_answer_that_cannot_be_pickled_keeps_its_name_and_text() -> None:
    def answer(question: int) -> int:
        raise UnpicklableError("a", "b")

    with Workers(SCORER, 2, answer=answer) as workers, pytest.raises(RuntimeError, match="UnpicklableError: ab"):
        list(workers.in_order(frames(at_1="ask")))


def test_an_answer_that_meets_the_end_of_a_file_is_raised_here() -> None:
    def answer(question: int) -> int:
        raise EOFError("the file of vectors has ended")

    with Workers(SCORER, 2, answer=answer) as workers, pytest.raises(EOFError, match="file of vectors"):
        list(workers.in_order(frames(at_1="ask")))


def test_workers_share_the_cores_and_end_with_the_block() -> None:
    with Workers(Process(), 2) as workers:
        found = pl.concat(workers.in_order(frames()))
    assert set(found["parent"]) == {os.getpid()}
    assert set(found["threads"]) == {str(max(usable_cores() // 2, 1))}
    assert not any(is_running(pid) for pid in found["pid"])


def test_a_caller_that_stops_early_leaves_no_worker() -> None:
    with Workers(Process(), 2) as workers:
        results = workers.in_order(frames())
        pid = next(results)["pid"][0]
        results.close()
        assert not is_running(pid)


PARENT = """
import os, signal
import polars as pl
from recmem.batch.workers import Workers
from worker_scorers import Process
with Workers(Process(), 2) as workers:
    print(next(workers.in_order(pl.DataFrame({"number": n}) for n in range(9)))["pid"][0], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_of_a_killed_parent_end() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", PARENT], env=environment, stdout=subprocess.PIPE, text=True)
    pid = int(run.stdout)
    end = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_running(pid)


def test_threads_that_the_user_asks_for_bound_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = usable_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_cores() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert usable_cores() == cores
