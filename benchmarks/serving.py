"""`recmem serve` under a bounded load: clients that each send their next request when the last one is answered."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

import recmem
from benchmarks.timing import Row

N_CANDIDATES = 100
N_CLIENTS = (1, 8, 32)
SECONDS = 10.0
N_BODIES = 500
METHOD = (
    "Clients are threads of a process of its own, each with one connection; each sends a request when the last one is "
    "answered. Time is from sending to the parsed answer. A rate is the median; the ratio is that of the requests per "
    "second to one client's. One answer is checked equal to `Model.rank`. Clients and service share the cores."
)


def serving_rows(bundle: Path) -> list[Row]:
    """Requests of random users of the bundle's store, each with random candidates."""
    model = recmem.load(bundle)
    random = np.random.default_rng(0)
    users = model.dataset.users
    items = model.dataset.catalogue.ids
    asked = [
        {
            "user_id": str(users[int(random.integers(len(users)))]),
            "items": items.gather(random.choice(len(items), N_CANDIDATES, replace=False)).cast(pl.String).to_list(),
        }
        for _ in range(N_BODIES)
    ]
    bodies = [json.dumps(request) for request in asked]
    rows: list[Row] = []
    first_rate = 0.0
    with _service(bundle) as port, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as clients:
        _check(model, asked[0], _ask(http.client.HTTPConnection("127.0.0.1", port), bodies[0]))
        clients.submit(load, port, bodies, 1, 2.0).result()  # a warm-up
        for n_clients in N_CLIENTS:
            seconds = np.array(clients.submit(load, port, bodies, n_clients, SECONDS).result())
            rate = len(seconds) / SECONDS
            first_rate = first_rate or rate
            p99 = float(np.quantile(seconds, 0.99)) * 1e3
            shape = f"1 user x {N_CANDIDATES} candidates, {n_clients} clients"
            note = f"p99 {p99:.1f} ms, {rate:.0f} requests/s"
            median = float(np.median(seconds)) * 1e3
            rows.append(Row("HTTP", shape, "recmem serve, /rank", median, "ms", rate / first_rate, note))
    return rows


def load(port: int, bodies: list[str], n_clients: int, seconds: float) -> list[float]:
    """Seconds that each request took, of all clients together."""

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        taken = []
        end = time.perf_counter() + seconds
        place = number
        while (begin := time.perf_counter()) < end:
            _ask(connection, bodies[place % len(bodies)])
            taken.append(time.perf_counter() - begin)
            place += n_clients
        return taken

    with ThreadPoolExecutor(n_clients) as threads:
        return [taken for part in threads.map(client, range(n_clients)) for taken in part]


def _ask(connection: http.client.HTTPConnection, body: str) -> dict[str, list[dict[str, float]]]:
    connection.request("POST", "/rank", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    if response.status != http.client.OK:
        raise RuntimeError(f"/rank: expected an answer, got {response.status}: {text.decode()}")
    answer: dict[str, list[dict[str, float]]] = json.loads(text)
    return answer


def _check(model: recmem.Model, request: dict[str, object], answer: dict[str, list[dict[str, float]]]) -> None:
    frame = pl.DataFrame({"item_id": request["items"]}).with_columns(user_id=pl.lit(request["user_id"]))
    expected = model.rank(frame).sort("rank")["score"].to_numpy()
    if not np.allclose([item["score"] for item in answer["items"]], expected, atol=1e-6):
        raise ArithmeticError("score: expected the same over HTTP, got others. Nothing is timed.")


@contextmanager
def _service(bundle: Path) -> Iterator[int]:
    """A running service; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    code = "from recmem.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--model", str(bundle), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()
