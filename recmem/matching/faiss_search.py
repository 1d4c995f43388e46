"""Approximate nearest-neighbour search with faiss: inverted lists or a graph, on the vectors' own device if faiss can.

Vectors are kept as float16, which holds those of `recmem.text.unit_vectors.exact_units` as they are: half the memory of
float32, and the same inner products. A graph on a GPU is the exception: there faiss's own test of inner products in
float16 is skipped since it hangs, and float32 is used.

On a CPU an index is the same on any number of threads: faiss builds graphs so from 1.15 on, and its lists have come out
equal. On a GPU that is not promised.

The code for GPUs follows the interface of faiss 1.15 and faiss's tests. It has not been run on one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError
from feature_store.arrays import Float32Array, IntArray
from feature_store.extras import install_command

PROBED_SHARE = 1 / 16
"""Share of the lists that is searched for a query. More lists: better recall, slower search."""
LISTS_PER_SQRT_ROW = 4
"""faiss advises 4 to 16 lists for each square root of the number of rows."""
ROWS_PER_LIST = 39
"""Rows that faiss wants for each list to learn its centre from."""
LINKS = 32
"""Neighbours that a text is linked to in HNSW's upper levels; twice as many in the lowest."""
VISITED_PER_RESULT = 2
"""A graph is searched for this many times as many rows as are wanted. More: better recall, slower search."""
FEWEST_VISITED = 64
"""A graph is searched for at least so many."""
FASTEST_VISITED = 512
"""Up to so many, CAGRA keeps a query within one thread block."""
VISITED_STEP = 32
"""CAGRA takes a multiple of this."""
SMALLEST_CAGRA = 10_000
"""Rows from which on a graph is built on a GPU; faiss tests it from there on."""
MOST_ON_GPU = 2048
"""Rows that faiss finds for a query on a GPU, and lists that it searches for one: more it refuses."""


class FaissSearch:
    """An index of faiss. `recmem.matching.text_search.recall` measures how much it finds."""

    def __init__(
        self, index: Any, *, parameters: Callable[[int], Any] | None = None, resources: Any | None = None
    ) -> None:
        """`parameters` are faiss's for a search of k rows. `resources` are of the GPU that the index is on."""
        self._index = index
        self._parameters = parameters
        self._resources = resources
        self._lock = Lock()  # an index on a GPU answers one thread at a time

    def nearest(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        """See `recmem.matching.text_search.TextSearch.nearest`. On a GPU it returns at most `MOST_ON_GPU` rows."""
        k = min(k, self._index.ntotal)
        if self._resources is not None:
            k = min(k, MOST_ON_GPU)
        parameters = None if self._parameters is None else self._parameters(k)
        with self._lock:
            _, rows = self._index.search(_float32(queries), k, params=parameters)
        found: IntArray = rows.astype(np.int64)
        return found


def list_search(unit: Float[Tensor, "item dim"]) -> FaissSearch:
    """Inverted lists: of the lists around learned centres, a share is searched.

    Raises DataError if faiss is not installed.
    """
    faiss = _faiss()
    vectors = _float32(unit)
    n_lists = round(LISTS_PER_SQRT_ROW * math.sqrt(len(vectors)))
    # A table too small for two lists is one list, which every query searches whole.
    n_lists = max(min(n_lists, len(vectors) // ROWS_PER_LIST), 1)
    index = faiss.index_factory(vectors.shape[1], f"IVF{n_lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.by_residual = False  # the vectors themselves are exact in float16, differences from a centre are not
    n_probed = max(math.ceil(n_lists * PROBED_SHARE), 1)
    gpu = _gpu_of(unit, faiss)
    index.nprobe = n_probed if gpu is None else min(n_probed, MOST_ON_GPU)
    resources = None
    if gpu is not None:
        resources = faiss.StandardGpuResources()
        options = faiss.GpuClonerOptions()
        options.use_cuvs = False  # cuVS has no lists in float16
        index = faiss.index_cpu_to_gpu(resources, gpu, index, options)
    index.train(vectors)
    index.add(vectors)
    return FaissSearch(index, resources=resources)


def graph_search(unit: Float[Tensor, "item dim"]) -> FaissSearch:
    """A graph that links each text with its nearest: HNSW, or CAGRA on a GPU where this build of faiss has it.

    Raises DataError if faiss is not installed.
    """
    faiss = _faiss()
    vectors = _float32(unit)
    gpu = _gpu_of(unit, faiss)
    if gpu is not None and hasattr(faiss, "GpuIndexCagra") and len(vectors) >= SMALLEST_CAGRA:
        return _cagra(vectors, faiss, gpu)
    index = faiss.IndexHNSWSQ(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)

    def parameters(k: int) -> Any:
        return faiss.SearchParametersHNSW(efSearch=max(VISITED_PER_RESULT * k, FEWEST_VISITED))

    return FaissSearch(index, parameters=parameters)


def _cagra(vectors: Float32Array, faiss: Any, gpu: int) -> FaissSearch:
    config = faiss.GpuIndexCagraConfig()  # its way to build a graph, IVF-PQ, is the one for inner products
    config.device = gpu
    resources = faiss.StandardGpuResources()
    index = faiss.GpuIndexCagra(resources, vectors.shape[1], faiss.METRIC_INNER_PRODUCT, config)
    index.train(vectors)  # adds them too

    def parameters(k: int) -> Any:
        found = faiss.SearchParametersCagra()
        visited = max(min(VISITED_PER_RESULT * k, FASTEST_VISITED), k, FEWEST_VISITED)
        found.itopk_size = math.ceil(visited / VISITED_STEP) * VISITED_STEP
        return found

    return FaissSearch(index, parameters=parameters, resources=resources)


def _gpu_of(unit: Tensor, faiss: Any) -> int | None:
    """The number of the GPU that holds the vectors. None if a CPU does, or if this build of faiss is for CPUs only."""
    if unit.device.type != "cuda" or not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return None
    return unit.device.index or 0


def _float32(vectors: Tensor) -> Float32Array:
    # Widened on the host: on a GPU torch would keep the memory that an index needs.
    array: Float32Array = vectors.cpu().float().numpy()
    return array


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise DataError(
            f"retrieval.search: expected the Python package faiss, got none. Run {install_command('faiss')} "
            "(on a GPU machine with the extra faiss-gpu or faiss-gpu-cuvs), or use exact search."
        ) from error
    return faiss
