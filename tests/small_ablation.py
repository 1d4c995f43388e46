"""An ablation on the log of `cross_fit_log`, and one that is made up, for tests of what is done with it."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cross_fit_log
import small_search
from training.api import train
from training.configuration.effective import effective_config
from training.evaluation.ablation import ALL, Ablation, KindWorth, Worth
from training.evaluation.ledger import Lift
from training.progress import Silent
from training.run import Run, TrainingResult, open_run
from training.tables import Tables

CONFIG = {**small_search.QUICK, "ranker.rounds": 15, "tree_members": 1, "refit": False}


def trained_in(out: Path, **arguments: Any) -> TrainingResult:
    """A training with an ablation in the folder `out`."""
    given = {"config": CONFIG, "ablate": True} | arguments
    return train(cross_fit_log.items(), cross_fit_log.events(), out=out, **given)


@functools.cache
def trained() -> TrainingResult:
    """A training with an ablation, made once per process: tests must not change its folder."""
    folder = Path(tempfile.mkdtemp(prefix="recmem-small-ablation-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return trained_in(folder / "run")


def small_run() -> Run:
    """The run of `trained` as it was given, before anything was chosen; what it reads it reads once per process."""
    run = replace(_opened(), config=effective_config(CONFIG, options={"ablate": True}))
    run.intake = _opened().intake
    run.training_data = _opened().training_data
    return run


@functools.cache
def _opened() -> Run:
    out = trained().out
    return open_run(Tables(), out, str(out / "store"), effective_config(CONFIG), Silent())


def kind(
    name: str = "ease_text",
    difference: float = 0.01,
    half: float = 0.005,
    *,
    was_on: bool = True,
    is_on: bool | None = None,
    decides: tuple[float, float] | None = None,
    **changes: Any,
) -> KindWorth:
    """A kind with a difference on both parts whose interval reaches as far as `half` on both sides of it."""
    ends = (round(difference - half, 6), round(difference + half, 6))
    worth = Worth({ALL: Lift(0.2, 0.2 + difference, difference, ends), "cold items": Lift(0.1, 0.12, 0.02, ends)})
    return KindWorth(
        name=name,
        words=f"words of {name}",
        was_on=was_on,
        is_on=was_on if is_on is None else is_on,
        retrained=name == "retrieved",
        changes=changes or {"ranker.leave_out": [name]},
        parts={"validation": worth, "test": worth},
        decides=decides or ends,
    )


def ablation(*kinds: KindWorth, **fields: Any) -> Ablation:
    """An ablation of these kinds."""
    same = Lift(0.2, 0.201, 0.001, (-0.002, 0.004))
    return Ablation(
        **{
            "metric": "ndcg@10",
            "seed": 0,
            "queries": {"validation": 1234, "test": 567},
            "users": {"validation": 1000, "test": 500},
            "figures": {"validation": 0.2, "test": 0.21},
            "control": {"validation": same, "test": same},
            "kinds": kinds,
        }
        | fields
    )
