"""Measuring variants once each."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from small_ablation import small_run, trained
from training.ablation import measure as measure_module
from training.ablation.measure import Measure
from training.ablation.plan import Plan, plan_of
from training.pipeline import run_step
from training.run import Run
from training.tracking.tracker import Tracker


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The run of the small ablation in a copy of its folder, with the runs that it has tracked."""
    out = tmp_path / "run"
    shutil.copytree(trained().out, out)
    copied = replace(small_run(), out=out)
    copied.intake = small_run().intake
    copied.training_data = small_run().training_data
    return copied


def measured(run: Run, plan: Plan, names: list[str]) -> list[str]:
    """Measures these variants after the reference; what MLflow says was reused."""
    with Tracker.start(out=run.out) as tracker:
        measure = Measure(run, plan.reference, tracker, run_step)
        for variant in plan.variants:
            if variant.name in ("reference", *names):
                measure.figures(variant)
        return list(tracker.reused)


def test_variants_that_are_there_are_not_measured_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(measure_module, "variant_pairs", never)
    reused = measured(run, plan_of(run), ["ease_text", "control"])
    assert reused == [
        "ablation reference match",
        "ablation reference",
        "ablation ease_text",
        "ablation control match",
        "ablation control",
    ]


def test_one_that_was_killed_is_measured_anew_with_the_same_figures(run: Run) -> None:
    folder = run.out / "ablation" / "ease_text" / "work" / "figures"
    before = (folder / measure_module.FIGURES).read_bytes()
    (folder / measure_module.FIGURES).write_bytes(b"half a file")
    reused = measured(run, plan_of(run), ["ease_text"])
    assert "ablation ease_text" not in reused
    assert "ablation reference" in reused
    assert (folder / measure_module.FIGURES).read_bytes() == before
