"""An object for several processes: pickled into a file that each of them maps, so that memory holds its arrays once.

Arrays of numpy, tensors of torch on the CPU and columns of polars are not copied out of the file. Pages that nobody
writes to are the same memory in all processes; a process that writes to one gets a copy of its own.
"""

from __future__ import annotations

import mmap
import pickle
from collections.abc import Callable
from typing import IO, Any, cast

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyarrow import ipc
from torch import Tensor

_ALIGNMENT = 64
"""Bytes: of a cache line, and of the widest loads of compiled code."""
_LENGTH_BYTES = 8

Buffer = pickle.PickleBuffer | memoryview


def write_shared(value: object, file: IO[bytes]) -> None:
    """Writes the object to an empty file: its arrays, and after them the pickle of the rest."""
    buffers: list[pickle.PickleBuffer] = []
    places: list[tuple[int, int]] = []
    content = _pickled(value, buffers.append)
    for buffer in buffers:
        raw = buffer.raw()
        file.write(bytes(-file.tell() % _ALIGNMENT))
        places.append((file.tell(), raw.nbytes))
        file.write(raw)
    rest = pickle.dumps((places, content))
    file.write(rest)
    file.write(len(rest).to_bytes(_LENGTH_BYTES, "little"))
    file.flush()


def read_shared(file: IO[bytes]) -> Any:
    """The object that `write_shared` wrote. Its arrays can be written to, which changes neither file nor others."""
    mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    end = len(mapped) - _LENGTH_BYTES
    n_bytes = int.from_bytes(mapped[end:], "little")
    places, content = pickle.loads(mapped[end - n_bytes : end])
    return pickle.loads(content, buffers=[mapped[first : first + length] for first, length in places])


def _pickled(value: object, keep_apart: Callable[[pickle.PickleBuffer], object]) -> bytes:
    sink = pa.BufferOutputStream()
    _Pickler(sink, protocol=5, buffer_callback=keep_apart).dump(value)
    return cast(bytes, sink.getvalue().to_pybytes())


class _Pickler(pickle.Pickler):
    """Keeps apart the memory of tensors and of columns too: by themselves they pickle a copy of it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Tensors can be views of one storage, which is written once. By its address and its bytes: tensors made of
        # numpy arrays have storages that may begin at one address and end at different ones.
        self._storages: dict[tuple[int, int], NDArray[np.uint8]] = {}

    def reducer_override(self, value: Any) -> Any:
        """See `pickle.Pickler.reducer_override`."""
        if type(value) is Tensor and value.device.type == "cpu" and value.layout == torch.strided:
            place = (value.dtype, value.storage_offset(), tuple(value.shape), value.stride())
            return _tensor, (self._storage(value), *place)
        if isinstance(value, pl.DataFrame):
            return _frame, (_as_ipc(value), _order(value), value.height)
        if isinstance(value, pl.Series):
            frame = value.to_frame("series")
            return _series, (value.name, _as_ipc(frame), _order(frame), len(value))
        return NotImplemented

    def _storage(self, tensor: Tensor) -> NDArray[np.uint8]:
        storage = tensor.untyped_storage()
        place = (storage.data_ptr(), storage.nbytes())
        if place not in self._storages:
            self._storages[place] = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
        return self._storages[place]


def _tensor(
    storage: NDArray[np.uint8], dtype: torch.dtype, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    memory = torch.from_numpy(storage).untyped_storage()
    return torch.empty(0, dtype=dtype).set_(memory, offset, shape, stride)


def _as_ipc(frame: pl.DataFrame) -> pickle.PickleBuffer:
    # One piece, in polars' own types, is what polars reads without a copy.
    table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return pickle.PickleBuffer(sink.getvalue())


def _order(frame: pl.DataFrame) -> dict[str, bool]:
    """Whether the values descend, for each column of which polars knows an order: Arrow does not hold that."""
    flags = frame.flags
    return {
        name: flags[name]["SORTED_DESC"]
        for name in frame.columns
        if flags[name]["SORTED_ASC"] or flags[name]["SORTED_DESC"]
    }


def _frame(content: Buffer, order: dict[str, bool], height: int) -> pl.DataFrame:
    with ipc.open_stream(pa.py_buffer(content)) as stream:
        table = stream.read_all()
    if not table.num_columns:
        return pl.DataFrame(height=height)
    frame = cast(pl.DataFrame, pl.from_arrow(table, rechunk=False))
    return frame.with_columns(pl.col(name).set_sorted(descending=descending) for name, descending in order.items())


def _series(name: str, content: Buffer, order: dict[str, bool], length: int) -> pl.Series:
    return _frame(content, order, length)["series"].alias(name)
