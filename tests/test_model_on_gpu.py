"""A model that is loaded on a GPU, or on a stand-in for one, answers as it does on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import polars as pl
import pytest
import torch

from debian_model import trained_model
from recmem.batch.candidate_source import candidates_at
from recmem.kernels import backends, top_k
from recmem.on_device import trees
from recmem.serving import scoring
from recmem.serving.file_scorer import score_candidates
from recmem.serving.model import Model
from stand_in_cuda import stand_in_cuda
from tolerances import close

USERS = ["curl", "vlc"]


def loaded(device: str) -> Model:
    return Model.load(trained_model().bundle, store=trained_model().store, device=device)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Model, Model]]:
    """On the CPU and on the GPU, which ranks all requests, small ones too."""
    monkeypatch.setattr(scoring, "DEVICE_FROM_PAIRS", 1)
    on_cpu = loaded("cpu")
    with nullcontext() if torch.cuda.is_available() else stand_in_cuda(backends, top_k, trees):
        yield on_cpu, loaded("cuda")


def same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Floats within the tolerance of two backends, all else equal."""
    assert found.columns == expected.columns
    for name, column in expected.to_dict().items():
        if column.dtype.is_float():
            close(found[name].to_numpy(), column.to_numpy(), "float32")
        else:
            assert found[name].to_list() == column.to_list()


def candidates() -> pl.DataFrame:
    """Two known users and one who is not, all items, and one that the store lacks."""
    items = [*trained_model().items["item_id"].head(30), "new"]
    rows = [
        (user, item, "a library for images" if item == "new" else None) for user in [*USERS, "nobody"] for item in items
    ]
    return pl.DataFrame(rows, ["user_id", "item_id", "title"], orient="row", infer_schema_length=None)


def test_matches_ranks_and_reasons(models: tuple[Model, Model]) -> None:
    on_cpu, on_gpu = models
    rows = candidates()
    same(on_gpu.match(rows), on_cpu.match(rows))
    same(on_gpu.rank(rows), on_cpu.rank(rows))
    found, expected = (model.rank(rows, explain=1) for model in (on_gpu, on_cpu))
    reasons = [name for name in expected.columns if name.endswith("_reason_1")]
    assert reasons
    same(found.select(reasons), expected.select(reasons))


def test_recommendations_explanations_and_memories(models: tuple[Model, Model]) -> None:
    on_cpu, on_gpu = models
    best = on_cpu.recommend(USERS, k=5)
    same(on_gpu.recommend(USERS, k=5), best)
    item = best["item_id"][0]
    same(on_gpu.explain(USERS[0], item).to_frame(), on_cpu.explain(USERS[0], item).to_frame())
    same(on_gpu.memory(USERS[0]), on_cpu.memory(USERS[0]))
    same(on_gpu.search_memory(USERS[0], "audio"), on_cpu.search_memory(USERS[0], "audio"))


def test_texts_and_what_was_observed(models: tuple[Model, Model]) -> None:
    on_cpu, on_gpu = models
    texts = ["a codec for audio", "a library for images"]
    seen = {"user_id": ["nobody"], "item_id": [trained_model().items["item_id"][0]], "timestamp": ["2030-01-01"]}
    for model in models:
        model.observe(pl.DataFrame(seen))
    same(on_gpu.match_texts("nobody", texts), on_cpu.match_texts("nobody", texts))
    same(on_gpu.rank(candidates()), on_cpu.rank(candidates()))


def test_files(models: tuple[Model, Model], tmp_path: Path) -> None:
    candidates().write_parquet(tmp_path / "candidates.parquet")
    scored = []
    for number, model in enumerate(models):
        with candidates_at(tmp_path / "candidates.parquet") as source:
            score_candidates(source, tmp_path / f"{number}.parquet", model.scorer(), workers=1)
        scored.append(pl.read_parquet(tmp_path / f"{number}.parquet"))
    same(scored[1], scored[0])
