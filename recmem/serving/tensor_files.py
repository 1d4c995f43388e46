"""Checks a safetensors file before anything reads it: its header may claim any type, shape and place."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from safetensors.torch import load
from torch import Tensor

from recmem.config_json import parse_json

MAX_HEADER_BYTES = 2**20
MAX_TENSORS = 20_000
MAX_AXES = 4
_LENGTH_BYTES = 8
DTYPES = ("F32", "F64", "I64")
"""The types of a bundle's numbers, but for those of a tuned encoder."""
ENCODER_DTYPES = ("F16", "F32")

_ITEM_BYTES = {"F16": 2, "F32": 4, "F64": 8, "I64": 8}


def read_tensors(content: bytes, name: str, dtypes: Collection[str] = DTYPES) -> dict[str, Tensor]:
    """The tensors in the content of the file `name`, by their names, of the given types only.

    Raises ValueError unless the header describes exactly the bytes that follow it.
    """
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if len(content) < _LENGTH_BYTES or length > min(len(content) - _LENGTH_BYTES, MAX_HEADER_BYTES):
        raise ValueError(f"{name}: expected a safetensors header, got one of {length} bytes. Copy the file again.")
    try:
        text = content[_LENGTH_BYTES : _LENGTH_BYTES + length].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected a header in UTF-8, got an error ({error}). Copy the file again.") from error
    header = parse_json(text, name)
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        got = f"{len(header):,} tensors" if isinstance(header, dict) else type(header).__name__
        raise ValueError(f"{name}: expected a header of at most {MAX_TENSORS:,} tensors, got {got}. Copy it again.")
    header.pop("__metadata__", None)
    spans = sorted(_span(tensor, f"{name}.{label[:60]!r}", dtypes) for label, tensor in header.items())
    end = 0
    for begin, next_end in spans:
        if begin != end:
            raise ValueError(
                f"{name}: expected tensors one after the other, got one at {begin} after {end}. Copy it again."
            )
        end = next_end
    n_bytes = len(content) - _LENGTH_BYTES - length
    if end != n_bytes:
        raise ValueError(f"{name}: expected {end} bytes of tensors, got {n_bytes}. Copy the file again.")
    return load(content)


def _span(tensor: object, where: str, dtypes: Collection[str]) -> tuple[int, int]:
    """Where a tensor begins and ends after the header."""
    if not isinstance(tensor, dict) or set(tensor) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{where}: expected dtype, shape and data_offsets, got other keys. Copy the file again.")
    dtype = tensor["dtype"]
    shape = tensor["shape"]
    offsets = tensor["data_offsets"]
    if not isinstance(dtype, str) or dtype not in dtypes:
        raise ValueError(f"{where}: expected a dtype of {', '.join(dtypes)}, got {str(dtype)[:60]!r}. Train again.")
    if not _are_counts(shape, MAX_AXES) or not _are_counts(offsets, 2) or len(offsets) != 2:
        raise ValueError(
            f"{where}: expected a shape and two data_offsets, got {str([shape, offsets])[:80]}. Train again."
        )
    begin, end = offsets
    n_bytes = prod(shape) * _ITEM_BYTES[dtype]
    if end - begin != n_bytes:
        raise ValueError(f"{where}: expected {n_bytes} bytes for its shape, got {end - begin}. Copy the file again.")
    return begin, end


def _are_counts(values: object, at_most: int) -> bool:
    """Whether the value is a list of a few integers of 0 and more."""
    return (
        isinstance(values, list)
        and len(values) <= at_most
        and all(type(value) is int and value >= 0 for value in values)
    )
