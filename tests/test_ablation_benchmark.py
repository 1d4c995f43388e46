"""The table of ablations over logs and seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import ablation as benchmark
from small_ablation import ablation, kind
from training.evaluation.ablation import Ablation


def of_seed(seed: int) -> Ablation:
    """EASE with texts is worth .01 with one seed and .03 with the other, retrieved slots hurt with both."""
    switched = kind("retrieved", -0.02, was_on=False)
    return ablation(kind("ease_text", 0.01 + 0.02 * seed, half=0.02), switched, seed=seed)


def test_the_table_has_means_over_the_seeds_and_counts_of_intervals() -> None:
    rows = benchmark.markdown({"shop": [of_seed(0), of_seed(1)]}).splitlines()
    assert rows[2:] == [
        "| **shop** | NDCG@10 of what was given, seeds: 2 | | 0.200 | | 0.210 | | |",
        "| | (control: another seed) | | +0.0010 (0.0000) | 0, 0 | +0.0010 (0.0000) | 0, 0 | |",
        "| | words of ease_text | on | +0.0200 (0.0141) | 1, 0 | +0.0200 (0.0141) | 1, 0 | 0 of 2 |",
        "| | words of retrieved | off | -0.0200 (0.0000) | 0, 2 | -0.0200 (0.0000) | 0, 2 | 0 of 2 |",
    ]
    assert len({row.count("|") for row in rows}) == 1


def test_one_seed_has_no_deviation() -> None:
    assert "| +0.0100 | 0, 0 |" in benchmark.markdown({"shop": [of_seed(0)]})


def test_every_log_is_run_with_every_seed_and_the_table_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, int]] = []

    def run(log: Path, out: Path, seed: int, assignments: list[str]) -> Ablation:
        out.mkdir(parents=True, exist_ok=True)
        ran.append((log.name, seed))
        assert assignments == ["memory.recent=20"]
        return replace(of_seed(seed))

    monkeypatch.setattr(benchmark, "ablation_of", run)
    benchmark.main(["a", "b", "--seeds", "2", "--out", str(tmp_path), "--set", "memory.recent=20"])
    assert ran == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    table = (tmp_path / "ablation.md").read_text()
    assert table in capsys.readouterr().out
    assert table.count("seeds: 2") == 2
    assert (tmp_path / "b" / "ablation-1.json").is_file()


def test_the_files_of_a_log_are_found_by_their_names(tmp_path: Path) -> None:
    for name in ("items.csv", "events.parquet", "users.parquet.bak"):
        (tmp_path / name).touch()
    assert benchmark.tables_in(tmp_path) == {
        "items": str(tmp_path / "items.csv"),
        "events": str(tmp_path / "events.parquet"),
        "impressions": None,
        "users": None,
        "facts": None,
    }
