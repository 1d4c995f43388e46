"""Inverted lists and graphs: how much they find, the same each time, and what faiss is asked for on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from feature_store import DataError
from recmem.matching import faiss_search
from recmem.matching.faiss_search import SMALLEST_CAGRA, FaissSearch, graph_search, list_search
from recmem.matching.text_search import ExactSearch, recall
from recmem.text.unit_vectors import exact_units

faiss = pytest.importorskip("faiss", reason="pip install 'recmem[faiss]'")

Search = Callable[[torch.Tensor], FaissSearch]
BOTH = pytest.mark.parametrize("search_over", [list_search, graph_search])


def texts_on_topics(n: int, dim: int = 32) -> torch.Tensor:
    """Random directions would be as far from each other as from any query."""
    generator = torch.Generator().manual_seed(0)
    topics = torch.randn((n // 100 + 1, dim), generator=generator)
    noise = torch.randn((n, dim), generator=generator)
    return exact_units(topics[torch.arange(n) % len(topics)] + 0.8 * noise)


@BOTH
def test_most_of_what_exact_search_finds_is_found(search_over: Search, device: torch.device) -> None:
    unit = texts_on_topics(SMALLEST_CAGRA).to(device)
    assert 0.9 < recall(search_over(unit), unit, unit[::100], 20) <= 1.0


@BOTH
def test_rows_come_best_first(search_over: Search, device: torch.device) -> None:
    unit = texts_on_topics(SMALLEST_CAGRA).to(device)
    rows = search_over(unit).nearest(unit[:5], 10)
    assert (rows.dtype, rows.shape) == (np.int64, (5, 10))
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    cosine = (unit[:5] @ unit.T).cpu().gather(1, torch.from_numpy(rows))
    assert (cosine.diff(dim=1) <= 0).all()


@BOTH
@pytest.mark.parametrize("n", [1, 30])
def test_a_small_table_is_searched_whole(search_over: Search, n: int) -> None:
    unit = texts_on_topics(n)
    found = search_over(unit).nearest(unit[:1], 50)
    assert np.array_equal(np.sort(found), np.arange(n)[None])


def test_minus_one_stands_where_the_searched_lists_hold_too_few_rows() -> None:
    unit = texts_on_topics(400)
    found = list_search(unit).nearest(unit[:2], 300)
    assert found.shape == (2, 300)
    assert (found[:, 0] >= 0).all()
    assert (found[:, -1] == -1).all()


@BOTH
def test_the_index_is_the_same_on_any_number_of_threads(search_over: Search) -> None:
    unit = texts_on_topics(3000)
    before = faiss.omp_get_max_threads()
    found = []
    try:
        for n_threads in (1, 2):
            faiss.omp_set_num_threads(n_threads)
            found.append(search_over(unit).nearest(unit, 20))
    finally:
        faiss.omp_set_num_threads(before)
    assert np.array_equal(*found)


@BOTH
def test_vectors_are_kept_exactly(search_over: Search) -> None:
    unit = texts_on_topics(500)
    index = search_over(unit)._index
    if isinstance(index, faiss.IndexIVF):
        index.make_direct_map()
    assert np.array_equal(index.reconstruct_n(0, 500), unit.numpy())


def test_a_missing_faiss_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        DataError, match=r"search: expected the Python package faiss, got none\. Run pip install 'recmem\[faiss\]'"
    ):
        graph_search(texts_on_topics(3))


# faiss 1.15's interface for GPUs, on a CPU: without a GPU these tests hold the calls to it, not its results.


class Resources:
    """`StandardGpuResources`."""


class Options:
    """`GpuClonerOptions`: of the build with cuVS."""

    use_cuvs = True


class CagraConfig:
    """`GpuIndexCagraConfig`."""

    device = 0


class CagraParameters:
    """`SearchParametersCagra`."""

    itopk_size = 64


class Cagra:
    """`GpuIndexCagra`: `train` adds the vectors too, and `itopk_size` is at least k."""

    def __init__(self, resources: Resources, dim: int, metric: int, config: CagraConfig) -> None:
        assert isinstance(resources, Resources)
        self.device = config.device
        self._flat = faiss.IndexFlat(dim, metric)
        self.visited: list[int] = []

    def train(self, vectors: np.ndarray) -> None:
        self._flat.add(vectors)

    @property
    def ntotal(self) -> int:
        return int(self._flat.ntotal)

    def search(self, queries: np.ndarray, k: int, *, params: CagraParameters) -> tuple[np.ndarray, np.ndarray]:
        assert params.itopk_size >= k
        assert params.itopk_size % 32 == 0
        self.visited.append(params.itopk_size)
        values, rows = self._flat.search(queries, k)
        return values, rows


@pytest.fixture
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """faiss as if it were built for GPUs, and the vectors were on the second. Returns what was copied there."""
    copied: list[object] = []

    def to_gpu(resources: Resources, gpu: int, index: faiss.Index, options: Options) -> faiss.Index:
        assert isinstance(resources, Resources)
        assert not options.use_cuvs
        copied.extend((gpu, index))
        return index

    monkeypatch.setattr(faiss_search, "_gpu_of", lambda unit, faiss: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", Resources, raising=False)
    monkeypatch.setattr(faiss, "GpuClonerOptions", Options, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", to_gpu, raising=False)
    return copied


def test_lists_are_trained_on_the_gpu_of_the_vectors(gpu_build: list[object]) -> None:
    unit = texts_on_topics(4000)
    search = list_search(unit)
    gpu, index = gpu_build
    assert (gpu, type(index)) == (1, faiss.IndexIVFScalarQuantizer)
    assert search.nearest(unit[:1], 3000).shape == (1, faiss_search.MOST_ON_GPU)


def test_a_graph_is_cagra_where_faiss_has_it(gpu_build: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    unit = texts_on_topics(SMALLEST_CAGRA)
    assert isinstance(graph_search(unit[:2000])._index, faiss.IndexHNSWSQ)

    monkeypatch.setattr(faiss, "GpuIndexCagra", Cagra, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexCagraConfig", CagraConfig, raising=False)
    monkeypatch.setattr(faiss, "SearchParametersCagra", CagraParameters, raising=False)
    assert isinstance(graph_search(unit[:2000])._index, faiss.IndexHNSWSQ)  # few rows

    search = graph_search(unit)
    assert isinstance(search._index, Cagra)
    assert search._index.device == 1
    for k in (1, 100, 300, 600, 3000):
        expected = ExactSearch(unit).nearest(unit[:1], min(k, faiss_search.MOST_ON_GPU))
        assert len(np.intersect1d(search.nearest(unit[:1], k), expected)) > 0.99 * expected.size
    assert search._index.visited == [64, 224, 512, 608, 2048]


def test_a_gpu_is_used_only_for_vectors_that_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "StandardGpuResources", Resources, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    assert faiss_search._gpu_of(torch.zeros(1), faiss) is None

    class OnGpu:
        device = torch.device("cuda", 3)

    assert faiss_search._gpu_of(OnGpu(), faiss) == 3  # type: ignore[arg-type]
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert faiss_search._gpu_of(OnGpu(), faiss) is None  # type: ignore[arg-type]
