"""safetensors files: what a header may claim, and what is refused before the library reads it."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import save

from debian_model import trained_model
from recmem.serving.manifest import SELF_TEST, WEIGHTS
from recmem.serving.tensor_files import MAX_HEADER_BYTES, read_tensors
from tests.soak import malformed_arrays
from tolerances import close


def content(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def one(**changes: object) -> bytes:
    """A file of one tensor of three numbers, with something of its header changed."""
    tensor = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]} | changes
    return content({"x": tensor}, bytes(12))


def test_what_was_saved_is_read() -> None:
    tensors = {
        "a": torch.arange(6.0).reshape(2, 3),
        "b": torch.tensor([1, -2]),
        "c": torch.ones(2, dtype=torch.float64),
    }
    again = read_tensors(save(tensors), "file")
    assert set(again) == set(tensors)
    for name, tensor in tensors.items():
        close(again[name], tensor, "exact")


def test_a_tensor_without_elements_is_read() -> None:
    assert read_tensors(save({"a": torch.empty(0, 4), "b": torch.ones(1)}), "file")["a"].shape == (0, 4)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (one(shape=[10**18]), "expected 4000000000000000000 bytes for its shape, got 12"),
        (one(shape=[2**32, 2**32]), "bytes for its shape, got 12"),
        (one(shape=[-3]), "expected a shape and two data_offsets"),
        (one(shape=[True, 3]), "expected a shape and two data_offsets"),
        (one(shape="3"), "expected a shape and two data_offsets"),
        (one(dtype="F16"), "expected a dtype of F32, F64, I64, got 'F16'"),
        (one(dtype=None), "expected a dtype of F32, F64, I64, got 'None'"),
        (one(dtype=[]), "expected a dtype of F32, F64, I64"),
        (one(data_offsets=[0, 16], shape=[4]), "expected 16 bytes of tensors, got 12"),
        (one(data_offsets=[4, 16]), "expected tensors one after the other, got one at 4 after 0"),
        (one(data_offsets=[0]), "expected a shape and two data_offsets"),
        (one(more=1), "expected dtype, shape and data_offsets, got other keys"),
        (content([], b""), "expected a header of at most 20,000 tensors, got list"),
        (content(b'{"x":{},"x":{}}', b""), "the key 'x' twice"),
        (content(b"[" * 10_000, b""), "nested too deeply"),
        (content(b"\xff", b""), "expected a header in UTF-8"),
        (b"\x00" * 7, "expected a safetensors header, got one of 0 bytes"),
        ((2**63).to_bytes(8, "little") + bytes(20), "a safetensors header, got one of 9223372036854775808 bytes"),
        (content(b" " * (MAX_HEADER_BYTES + 1), b""), "expected a safetensors header, got one of 1048577 bytes"),
        (one() + b"\x00", "expected 12 bytes of tensors, got 13"),
    ],
)  # fmt: skip
def test_a_header_that_does_not_describe_the_bytes_is_refused(changed: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=rf"^file.*{words}.*\. \w+"):
        read_tensors(changed, "file")


@pytest.mark.parametrize("name", [WEIGHTS, SELF_TEST])
def test_of_any_malformed_file_the_tensors_are_those_that_the_bytes_hold(name: str) -> None:
    """Some of the campaign's faults are for those who know the model; no array ever reaches beyond the file."""
    good = (trained_model().bundle / name).read_bytes()
    n_refused = 0
    for seed in range(200):
        changed, _ = malformed_arrays.malformed(good, random.Random(seed))
        try:
            tensors = read_tensors(changed, name)
        except ValueError:
            n_refused += 1
        else:
            assert sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) < len(changed)
            assert all(np.asarray(tensor).dtype.kind in "fi" for tensor in tensors.values())
    assert n_refused > 80
