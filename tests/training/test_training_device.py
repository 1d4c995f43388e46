"""A training on a GPU, or on a stand-in for one, has the figures that it has on the CPU."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import small_training
import training.fitting.fit_match
from recmem import train
from recmem.kernels import backends, top_k
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.user_memory import MemoryConfig
from recmem.on_device import trees
from stand_in_cuda import stand_in_cuda
from tolerances import close
from training.run import TrainingResult
from training.training_device import matcher_for_training, training_device

CPU = torch.device("cpu")


def trained(out: Path) -> TrainingResult:
    """On random vectors: of a text encoder on a GPU, the last bits are others."""
    ids = small_training.items()["item_id"]
    vectors = np.random.default_rng(0).normal(size=(len(ids), 24)).astype(np.float32)
    frame = pl.DataFrame({"item_id": ids, "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, 24))})
    return train(small_training.items(), small_training.events(), vectors=frame, vectors_name="random", out=out)


def test_match_scores_of_a_training_are_those_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the fits learn on a GPU differs in the last bits, and the stand-in has no gradients.
    monkeypatch.setattr(training.fitting.fit_match, "training_device", lambda: CPU)
    expected = trained(tmp_path / "cpu")
    with nullcontext() if torch.cuda.is_available() else stand_in_cuda(backends, top_k, trees):
        assert training_device().type == "cuda"
        found = trained(tmp_path / "gpu")
    for name in ("match_score", "ranker_without_match", "ranker_with_match"):
        there, here = (result.ledger.row(name) for result in (found, expected))
        assert there is not None
        assert here is not None
        # The stand-in computes what the CPU does. On a GPU the last bits of scores differ, and a rank may with them.
        tolerance = 0.02 if torch.cuda.is_available() else 0
        assert there.metrics["ndcg@10"] == pytest.approx(here.metrics["ndcg@10"], abs=tolerance)


def test_the_module_of_a_matcher_stays_on_the_cpu() -> None:
    module = MatchModule(MatchConfig(dim=8, n_heads=2, head_dim=4), torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(torch.randn((5, 8), generator=torch.Generator().manual_seed(1)), dim=1)
    expected = matcher_for_training(module, unit, MemoryConfig()).tables
    with nullcontext() if torch.cuda.is_available() else stand_in_cuda(backends, top_k, trees):
        matcher = matcher_for_training(module, unit, MemoryConfig())
        assert matcher.device.type == "cuda"
        key = matcher.tables.key.cpu()
    assert module.key.device == CPU
    close(key, expected.key, "exact")
