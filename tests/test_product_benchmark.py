"""What the GPU benchmark measures of the product, with commands that only pretend to run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest
import torch

from benchmarks import gpu_parts, product
from benchmarks.command import Done
from debian_model import trained_model

COMMANDS = list[tuple[list[str], dict[str, str]]]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> COMMANDS:
    """The commands that were given. Scoring copies the candidates, 10 rows a second after 2 seconds."""
    given: COMMANDS = []

    def pretend(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Done:
        given.append((list(arguments), dict(environment or {})))
        if arguments[0] == "train":
            return Done(40.0 if environment else 20.0, 2e9)
        options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
        shutil.copy(options["--candidates"], options["--out"])
        return Done(2 + len(pl.read_parquet(options["--out"])) / 10, 1e9)

    monkeypatch.setattr(product, "run_command", pretend)
    monkeypatch.setattr(product, "step_seconds", lambda out: {"match": 5.0})
    monkeypatch.setattr(product, "RUNS", tmp_path)
    return given


def test_trainings_are_timed_with_a_gpu_and_without(commands: COMMANDS) -> None:
    rows = [row for part in product.training_rows() for row in part]
    assert [(row.way, row.rate, row.ratio) for row in rows] == [
        ("whole", 20.0, 1.0),
        ("step match", 5.0, 0.25),
        ("whole", 40.0, 2.0),
        ("step match", 5.0, 0.125),
        ("whole", 20.0, 1.0),
        ("step match", 5.0, 0.25),
    ]
    assert [("off" in arguments, environment) for arguments, environment in commands] == [
        (True, {}),
        (True, {"CUDA_VISIBLE_DEVICES": ""}),
        (False, {}),
    ]
    first, _ = commands[0]
    assert Path(first[first.index("--out") + 1]) / "bundle" == product.trained_bundle()
    # The same folder as the other parts look for, below the folder of runs.
    assert gpu_parts.BUNDLES[1].relative_to("runs/gpu_benchmark") == product.trained_bundle().relative_to(product.RUNS)


def test_files_are_scored_with_a_gpu_and_without_and_the_start_is_told_apart(
    commands: COMMANDS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "FEW_ROWS", 100)
    monkeypatch.setattr(product, "MANY_ROWS", 700)
    rows = [row for part in product.file_rows(trained_model().bundle) for row in part]
    assert [row.rate for row in rows] == [12.0, pytest.approx(10)] * 3
    assert [row.note for row in rows[1::2]] == ["72.0 s in all, peak 1.00 GB in a process"] * 3
    options = [arguments[-4:] for arguments, _ in commands]
    assert [each[1] for each in options] == ["cpu"] * 4 + ["cuda"] * 2
    assert [int(each[3]) > 1 for each in options] == [False, False, True, True, False, False]


def test_recommendations_and_loading_are_timed(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "N_USERS", 3)
    rows = [row for part in product.user_rows(trained_model().bundle, str(device)) for row in part]
    assert [row.what for row in rows] == ["recommend"] * 2 + ["recmem.load"] * 2
    assert rows[1].note == "30 of 30 items as on the CPU"


def test_the_parts_cover_kernels_encoding_and_the_product(tmp_path: Path) -> None:
    names = [part.name for part in gpu_parts.gpu_parts(torch.device("cuda"), tmp_path)]
    assert {"limits", "one memory", "encoding, 20 words", "training", "rank", "batch", "files"} <= set(names)
    assert len(set(names)) == len(names)


def test_a_part_without_a_model_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu_parts, "BUNDLES", (tmp_path / "none",))
    with pytest.raises(FileNotFoundError, match=r"got none\. Run `make demo`"):
        list(gpu_parts.rank_rows(torch.device("cpu"), None))
