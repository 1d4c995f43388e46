"""Malformed safetensors files: headers that claim what is not there, and arrays that do not fit the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64}
HUGE = [2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**64, 10**18, 10**30]


class Tensors:
    """A safetensors file in pieces."""

    def __init__(self, content: bytes) -> None:
        length = int.from_bytes(content[:8], "little")
        self.header: dict[str, Any] = json.loads(content[8 : 8 + length])
        self.header.pop("__metadata__", None)
        self.data = content[8 + length :]

    def content(self) -> bytes:
        header = json.dumps(self.header).encode()
        return len(header).to_bytes(8, "little") + header + self.data

    def array(self, name: str) -> NDArray[Any]:
        tensor = self.header[name]
        begin, end = tensor["data_offsets"]
        return np.frombuffer(self.data[begin:end], DTYPES[tensor["dtype"]]).reshape(tensor["shape"]).copy()

    def with_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """The file with these arrays alone."""
        self.header = {}
        self.data = b""
        kinds = {np.dtype(kind): name for name, kind in DTYPES.items()}
        for name, array in arrays.items():
            begin = len(self.data)
            self.data += array.tobytes()
            dtype = kinds.get(array.dtype, "I32")
            self.header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, len(self.data)]}

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: self.array(name) for name in self.header}


def malformed(content: bytes, rng: Random) -> tuple[bytes, str]:
    """A file with one fault, and what it is."""
    tensors = Tensors(content)
    changes = [change for change in CHANGES if change is not _offsets_of_queries or "pair_offsets" in tensors.header]
    change = rng.choice(changes)
    whole = change(tensors, rng)
    return (tensors.content() if whole is None else whole), change.__name__.strip("_")


def _some(tensors: Tensors, rng: Random) -> dict[str, Any]:
    tensor: dict[str, Any] = tensors.header[rng.choice(list(tensors.header))]
    return tensor


def _shape(tensors: Tensors, rng: Random) -> None:
    tensor = _some(tensors, rng)
    shape = tensor["shape"]
    tensor["shape"] = rng.choice([
        [], [*shape, 2], [rng.choice(HUGE), *shape[1:]], [2**32, 2**32], [-1], [-1, *shape], [1.5], ["3"], "3", None,
        {}, [[1]], [True, 1], [0], [1] * 500, [10**400] if rng.random() < 0.5 else [10**18],
    ])  # fmt: skip


def _places(tensors: Tensors, rng: Random) -> None:
    tensor = _some(tensors, rng)
    begin, end = tensor["data_offsets"]
    tensor["data_offsets"] = rng.choice([
        [begin, end + 4], [begin - 4, end], [begin + 4, end + 4], [end, begin], [-8, end], [begin, rng.choice(HUGE)],
        [begin], [begin, end, end], [], "0", None, [str(begin), end], [begin + 0.5, end], [0, 0], [True, end],
    ])  # fmt: skip


def _dtype(tensors: Tensors, rng: Random) -> None:
    tensor = _some(tensors, rng)
    wrong = ["F16", "BF16", "BOOL", "U8", "I32", "F8_E4M3", "F4", "f32", "", "object", None, 4, [], "F64", "I64", "F32"]
    tensor["dtype"] = rng.choice([name for name in wrong if name != tensor["dtype"]])


def _keys_of_a_tensor(tensors: Tensors, rng: Random) -> None:
    name = rng.choice(list(tensors.header))
    tensor = tensors.header[name]
    what = rng.randrange(4)
    if what == 0:
        del tensor[rng.choice(list(tensor))]
    elif what == 1:
        tensor["more"] = 1
    elif what == 2:
        tensors.header[name] = rng.choice([None, 1, [], "x"])
    else:
        others = [other for other in tensors.header if other != name]
        tensors.header[name] = dict(tensors.header[rng.choice(others)]) if others else {}


def _header(tensors: Tensors, rng: Random) -> bytes:
    """A header that is no object of JSON."""
    text = json.dumps(tensors.header)
    wrong = [
        b"", b"[]", b"null", b"[" * 100_000, b'{"a":' * 50_000, text[:-5].encode(), b"\xff" + text.encode(),
        text.replace("[", "[NaN,", 1).encode(), (text[:-1] + "," + text[1:]).encode(), text.encode("utf-16"),
        text.replace('"', "'").encode(), b'{"\\ud800":1}', b'{"a":' + b"9" * 10_000 + b"}",
        b"{" + b",".join(b'"%d":{}' % n for n in range(60_000)) + b"}",
    ]  # fmt: skip
    header = rng.choice(wrong)
    return len(header).to_bytes(8, "little") + header + tensors.data


def _length(tensors: Tensors, rng: Random) -> bytes:
    content = tensors.content()
    length = rng.choice(
        [0, 1, 7, 2**20 + 1, 2**31, 2**40, 2**63, 2**64 - 1, len(content), int.from_bytes(content[:8], "little") + 1]
    )
    return length.to_bytes(8, "little") + content[8:]


def _cut_short_or_longer(tensors: Tensors, rng: Random) -> bytes:
    content = tensors.content()
    return rng.choice(
        [content[:-1], content[: rng.randrange(len(content))], content + b"\0", content[:7], b"", content * 2]
    )


def _missing_or_more(tensors: Tensors, rng: Random) -> None:
    arrays = tensors.arrays()
    if rng.random() < 0.5:
        del arrays[rng.choice(list(arrays))]
    else:
        arrays[rng.choice(["more", "pair.", "pair.unheard_of", "vectors.x", "\x1b[2J"])] = np.zeros(3, np.float32)
    tensors.with_arrays(arrays)


def _another_type(tensors: Tensors, rng: Random) -> None:
    arrays = tensors.arrays()
    name = rng.choice(list(arrays))
    kinds = [kind for kind in (np.float32, np.float64, np.int64, np.float16, np.int32) if kind != arrays[name].dtype]
    arrays[name] = arrays[name].astype(rng.choice(kinds))
    tensors.with_arrays(arrays)


def _another_shape(tensors: Tensors, rng: Random) -> None:
    arrays = tensors.arrays()
    name = rng.choice([name for name in arrays if arrays[name].size > 1])
    array = arrays[name]
    other = rng.choice(
        [array[:-1], array[:1], array[:0], np.concatenate([array, array]), array[None], array.reshape(-1, 1, 1)]
    )
    arrays[name] = np.ascontiguousarray(other)
    tensors.with_arrays(arrays)


def _not_finite(tensors: Tensors, rng: Random) -> None:
    arrays = tensors.arrays()
    # A feature of a pair may be missing, as NaN; nothing else may.
    name = rng.choice([name for name in arrays if not name.startswith("pair")])
    arrays[name].reshape(-1)[rng.randrange(arrays[name].size)] = rng.choice([np.nan, np.inf, -np.inf])
    tensors.with_arrays(arrays)


def _offsets_of_queries(tensors: Tensors, rng: Random) -> None:
    """Where each query of the self-test begins: compiled code follows these."""
    arrays = tensors.arrays()
    offsets = arrays["pair_offsets"]
    n_pairs = int(offsets[-1])
    place = rng.randrange(len(offsets))
    wild = [-1, -(2**62), n_pairs + 1, n_pairs * 2, 10**9, 2**40, 2**62, 2**63 - 1, -(2**63)]
    what = rng.randrange(4)
    if what == 0:
        offsets[place] = rng.choice(wild)
    elif what == 1:
        arrays["pair_offsets"] = np.array(
            rng.choice([[], [0], [0, rng.choice(wild)], [0, n_pairs, 0, n_pairs]]), np.int64
        )
    elif what == 2:
        arrays["pair_offsets"] = offsets + rng.choice([1, -1, 1000])
    else:
        arrays["pair_items"] = np.full_like(arrays["pair_items"], rng.choice([-1, -(2**63)]))
    tensors.with_arrays(arrays)


CHANGES: list[Callable[[Tensors, Random], bytes | None]] = [
    _shape, _places, _dtype, _keys_of_a_tensor, _header, _length, _cut_short_or_longer, _missing_or_more, _another_type,
    _another_shape, _not_finite, _offsets_of_queries, _offsets_of_queries,
]  # fmt: skip
