"""`recmem cascade`: the cost of --trees-share."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import small_training
from command_line import DONE, Outcome


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


def test_cascade_tells_what_it_costs_when_the_trees_see_less(bundle: Path, tmp_path: Path) -> None:
    import recmem

    outcome = Outcome("cascade", "--model", bundle, "--queries", 8)
    assert outcome.code == DONE
    assert "8 queries after" in outcome.out
    assert outcome.out.count("x\n") + outcome.out.count("x \n") == 4
    given, out = tmp_path / "candidates.parquet", tmp_path / "scores.parquet"
    model = recmem.load(bundle)
    items = model.dataset.catalogue.ids
    frame = pl.DataFrame({"user_id": [model.dataset.users[0]] * len(items), "item_id": items})
    frame.write_parquet(given)
    arguments = ("--model", bundle, "--candidates", given, "--out", out, "--trees-share", 0.1)
    assert Outcome("score", *arguments).code == DONE
    assert pl.read_parquet(out).equals(model.rank(frame, trees_share=0.1))
