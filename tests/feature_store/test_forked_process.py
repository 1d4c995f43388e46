"""A fork of a process that has used polars or a store gets an error instead of hanging; others work."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_store import EVENTS, EventLog, SignalConfig, Store
from feature_store.forked_process import refuse_forked
from forked_child import LIMIT_S, in_child
from strategies import ITEMS, USERS, event_frame

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
EVENT = pl.DataFrame({"user_id": ["anna"], "item_id": ["book"], "timestamp": ["2026-01-01"]})
TOLD = "DataError: process: expected one that loads recmem's models and stores itself, got process "


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "store")
    store.append_events(EVENT)
    return store


def run(script: str, *arguments: object) -> str:
    """What a Python process of its own prints."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.events(),
        lambda store: store.items(),
        lambda store: store.rejected(),
        lambda store: store.versions(),
        lambda store: store.digest(),
        lambda store: store.append_events(EVENT),
        lambda store: store.check(EVENTS, EVENT),
        lambda store: store.settle_rejected([]),
        lambda store: store.forget_user("anna"),
        lambda store: Store.open(store.path),
        lambda store: Store.open_or_create(store.path),
        lambda store: Store.create(f"{store.path}-new"),
    ],
)
def test_every_call_of_a_store_is_refused_in_a_fork(store: Store, call: object) -> None:
    answer = in_child(lambda: call(store))  # type: ignore[operator]
    assert answer.startswith(TOLD)
    assert f"forked from process {os.getpid()}" in answer
    assert "gunicorn without --preload" in answer
    assert "'spawn'" in answer


def test_a_log_is_not_built_in_a_fork_and_still_read_there() -> None:
    signals = SignalConfig()
    refuse_forked()  # the log of few events alone would not use threads
    log = EventLog.from_frame(event_frame([]), USERS, ITEMS, signals)
    assert in_child(lambda: EventLog.from_frame(event_frame([]), USERS, ITEMS, signals)).startswith(TOLD)
    # numpy alone: nothing that a fork lacks.
    nobody = np.array([0])
    assert in_child(lambda: log.past(nobody, nobody).items.n_rows) == "1"


def test_the_parent_goes_on_after_its_child_was_refused(store: Store) -> None:
    assert in_child(store.events).startswith(TOLD)
    assert store.events().height == 1


def test_a_fork_before_any_use_works_and_a_fork_of_that_one_is_refused(store: Store) -> None:
    printed = run(
        """
        import os, sys
        import feature_store
        if os.fork():
            os.wait()
        else:
            print(feature_store.Store.open(sys.argv[1]).events().height, flush=True)
            if os.fork():
                os.wait()
            else:
                try:
                    feature_store.Store.open(sys.argv[1])
                except feature_store.DataError as error:
                    print(error, flush=True)
        """,
        store.path,
    )
    rows, refusal = printed.split("\n")
    assert rows == "1"
    assert refusal.startswith(TOLD.removeprefix("DataError: "))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not name its threads")
def test_a_fork_after_polars_alone_was_used_is_refused(store: Store) -> None:
    printed = run(
        """
        import os, sys
        import polars as pl
        import feature_store
        pl.DataFrame({"a": range(100_000)}).group_by("a").len()
        if os.fork():
            os.wait()
        else:
            try:
                feature_store.Store.open(sys.argv[1]).events()
            except feature_store.DataError as error:
                print(error, flush=True)
        """,
        store.path,
    )
    assert printed.startswith(TOLD.removeprefix("DataError: "))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_are_started_anew_work(store: Store, method: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import multiprocessing, sys
            import feature_store

            def read(path):
                return feature_store.Store.open(path).events().height

            if __name__ == "__main__":
                read(sys.argv[1])
                with multiprocessing.get_context("{method}").Pool(1) as pool:
                    print(pool.apply_async(read, [sys.argv[1]]).get(timeout={3 * LIMIT_S}))
            """
        )
    )
    done = subprocess.run([sys.executable, script, store.path], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "1"
