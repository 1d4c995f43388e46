"""One user with 100 candidates, answered in the process: what each stage takes, from its own log and from Redis."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

import recmem
from benchmarks.timing import Row
from feature_store.point_in_time.counters import item_counters, user_counters
from recmem.dataset.candidate_frame import read_candidates
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.shared_memories import RedisMemories, publish, with_shared_memories
from recmem.retrieval.retrieve import seen_items
from recmem.serving.model import Model
from recmem.serving.scoring import RANK_OUTPUTS, pairs_of, ranked

N_REQUESTS, N_CANDIDATES = 1_000, 100
PORT = 6397
METHOD = (
    "One request after the other, with a timestamp; a rate is the median time of a stage, a ratio its share of the "
    "whole answer's median. Stages are timed in runs of their own. Scores from Redis are checked equal to the others."
)


def online_rows(bundle: Path) -> list[Row]:
    """Requests of random users of the bundle's store, as of just after its newest event."""
    alone = recmem.load(bundle)
    with _redis() as url:
        memories = RedisMemories(url, timeout=5)
        publish(alone.dataset, memories)
        shared = recmem.load(bundle, online=memories)
        rows = []
        requests = list(_requests(alone))
        for frame in requests[:50]:
            if not alone.rank(frame).equals(shared.rank(frame)):
                raise ArithmeticError("score: expected the same from Redis, got others. Nothing is timed.")
        for where, model in (("in process", alone), ("Redis on loopback", shared)):
            rows += _stages(where, model, requests)
    return rows


def _stages(where: str, model: Model, requests: list[pl.DataFrame]) -> list[Row]:
    config, items = model.bundle.config, np.arange(N_CANDIDATES)

    def reads(frame: pl.DataFrame) -> object:
        at = np.full(N_CANDIDATES, model.dataset.clock)
        dataset, _ = with_shared_memories(model.dataset, model.memories, frame["user_id"][:1], at[:1], items, at)
        batch = QueryBatch.of(dataset, dataset.user_rows(frame["user_id"][:1]), at[:1])
        counters = item_counters(dataset.reads, items, at, dataset.config.counters)
        return batch, counters, user_counters(dataset.reads, batch.users, batch.times, dataset.config.counters)

    def read(frame: pl.DataFrame) -> object:
        return read_candidates(frame, model.dataset, RANK_OUTPUTS, model.memories)

    given = [read_candidates(frame, model.dataset, RANK_OUTPUTS, model.memories) for frame in requests]
    columns = [pairs_of(model.matcher, one, np.array([0])) for one in given]
    stages: dict[str, tuple[Callable[..., object], list]] = {
        "whole answer (rank)": (model.rank, requests),
        "memory and counter reads": (reads, requests),
        "candidates read, with the memory": (read, requests),
        "match, item-item and counter columns": (lambda one: pairs_of(model.matcher, one, np.array([0])), given),
        "ranker": (lambda one: ranked(one, model.bundle.ranker, config.calibration), columns),
        "what the user has (for recommend)": (lambda one: seen_items(one.dataset, one.queries), given),
    }
    rows, whole = [], 0.0
    for name, (function, inputs) in stages.items():
        times = _times(function, inputs)
        p50, p99 = (float(np.percentile(times, share)) * 1e3 for share in (50, 99))
        whole = whole or p50
        shape = f"1 user x {N_CANDIDATES} candidates, {where}"
        rows.append(Row("online", shape, name, p50, "ms", p50 / whole, f"p99 {p99:.2f} ms"))
    return rows


def _times(function: Callable[..., object], inputs: list) -> list[float]:
    times = []
    for one in [*inputs[:50], *inputs]:
        begin = time.perf_counter()
        function(one)
        times.append(time.perf_counter() - begin)
    return times[50:]


def _requests(model: Model) -> Iterator[pl.DataFrame]:
    rng = np.random.default_rng(0)
    users, items = model.dataset.users.to_numpy(), model.dataset.catalogue.ids.to_numpy()
    now = pl.Series([model.dataset.clock]).cast(pl.Datetime("us", "UTC"))[0]
    for user in rng.choice(users, N_REQUESTS):
        frame = {"user_id": [user] * N_CANDIDATES, "item_id": rng.choice(items, N_CANDIDATES, replace=False)}
        yield pl.DataFrame(frame).with_columns(timestamp=pl.lit(now))


@contextmanager
def _redis() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("online: expected redis-server, got none. On Debian: apt-get install redis-server")
    options = ["--port", str(PORT), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    time.sleep(1)
    try:
        yield f"redis://127.0.0.1:{PORT}/0"
    finally:
        server.kill()
        server.wait()
