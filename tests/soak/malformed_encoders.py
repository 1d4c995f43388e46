"""Bundles with a tuned encoder: a good one of each kind of tuning, and what can be wrong with `encoder.safetensors`."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load

from changed_bundles import rewrite, sign
from debian_model import trained_model
from recmem.serving.manifest import ENCODER, MANIFEST
from recmem.text.encoder_tuning import EncoderTuning, TuningKind, tuned_fingerprint
from tests.soak.malformed_arrays import Tensors, malformed
from tuned_bundle import write_tiny_tuned_bundle

HUGE_HEADERS = [2**20 + 1, 2**26]
_NAMES = ["", "x", "__metadata__", "../up", "\x1b[2J", "y" * 5000, "base_model.model.x", "embeddings.unheard_of"]


@functools.cache
def store_to_load() -> Path:
    """A copy of the small model's store, made once per process: loading adds the vectors of every tuned encoder."""
    folder = Path(tempfile.mkdtemp(prefix="recmem-malformed-")) / "store"
    shutil.copytree(trained_model().store, folder)
    return folder


@functools.cache
def tuned_bundles() -> tuple[Path, ...]:
    """A bundle with a small tuned encoder for every kind of tuning, made once per process."""
    folder = Path(tempfile.mkdtemp(prefix="recmem-tuned-"))
    kinds: tuple[TuningKind, ...] = get_args(TuningKind)
    for kind in kinds:
        write_tiny_tuned_bundle(folder / kind, EncoderTuning(kind, layers=1, rank=4), store=store_to_load())
    return tuple(folder / kind for kind in kinds)


def malform_encoder(folder: Path, rng: Random) -> str:
    """Changes `encoder.safetensors`, or what the bundle says of it, under checksums that are right; what was done.

    Half of the time the fingerprint is that of the changed tensors too, where these can be read, as if a training had
    written them.
    """
    path = folder / ENCODER
    change = rng.choice([_malformed, _malformed, *_CHANGES])
    content, what = change(path.read_bytes(), rng)
    path.write_bytes(content)
    if rng.random() < 0.2:
        what += f", {_change_tuning(folder, rng)}"
    sign(folder)
    # With a fingerprint of its own, an encoder of other finite numbers is another model, and a good one.
    if change is not _other_numbers and rng.random() < 0.5:
        what += _named(folder)
    return f"{what} in {ENCODER}"


def _change_tuning(folder: Path, rng: Random) -> str:
    """Another tuning than that of the tensors."""
    key, value = rng.choice(
        [("kind", kind) for kind in get_args(TuningKind)]
        + [("layers", 2), ("layers", 3), ("layers", 4), ("layers", 1000), ("rank", 1), ("rank", 5), ("rank", 4096)]
    )
    rewrite(folder, lambda manifest: manifest["config"]["tuning"].update({key: value}))
    return f"{key} {value}"


def _named(folder: Path) -> str:
    """Writes the fingerprint of the tensors into the manifest, if there is one."""
    config = json.loads((folder / MANIFEST).read_text())["config"]
    try:
        tensors = load((folder / ENCODER).read_bytes())
        fingerprint = tuned_fingerprint(config["fingerprint"], EncoderTuning(**config["tuning"]), tensors)
    except Exception:  # no tensors that anything could read
        return ""
    rewrite(folder, lambda manifest: manifest["config"].update(tuned_fingerprint=fingerprint))
    return ", named"


_Changed = tuple[bytes, str]


def _malformed(content: bytes, rng: Random) -> _Changed:
    return malformed(content, rng)


def _other_numbers(content: bytes, rng: Random) -> _Changed:
    """Numbers that may well be some encoder's."""

    def change(array: NDArray[Any]) -> NDArray[Any]:
        changed = array.copy()
        changed.reshape(-1)[rng.randrange(array.size)] += np.asarray(0.5, array.dtype)
        return rng.choice([changed, -array, array + np.asarray(1, array.dtype)])

    return _with_one(content, rng, change), "other numbers"


def _numbers_beyond_reach(content: bytes, rng: Random) -> _Changed:
    """Finite numbers that no encoder gets through its layers."""
    value = rng.choice([3e38, -3e38])
    tensors = Tensors(content)
    tensors.with_arrays({name: np.full(array.shape, value, np.float32) for name, array in tensors.arrays().items()})
    return tensors.content(), f"numbers of {value}"


def _another_name(content: bytes, rng: Random) -> _Changed:
    arrays = Tensors(content).arrays()
    name = rng.choice(list(arrays))
    other = rng.choice([*_NAMES, name.upper(), f"{name}.x", *(arrays.keys() - {name})])
    tensors = Tensors(content)
    tensors.with_arrays({(other if part == name else part): array for part, array in arrays.items()})
    return tensors.content(), f"the name {other[:20]!r} for {name!r}"


def _exchanged(content: bytes, rng: Random) -> _Changed:
    """The tensors of another bundle, which are good ones there."""
    other = rng.choice([bundle for bundle in tuned_bundles() if (bundle / ENCODER).read_bytes() != content])
    return (other / ENCODER).read_bytes(), f"those of {other.name}"


def _turned(content: bytes, rng: Random) -> _Changed:
    """The same numbers in another shape."""
    return _with_one(content, rng, lambda array: rng.choice([array.T[None].copy(), array.ravel()[None]])), "turned"


def _huge_header(content: bytes, rng: Random) -> _Changed:
    tensors = Tensors(content)
    header = json.dumps(tensors.header).encode()
    header += b" " * (rng.choice(HUGE_HEADERS) - len(header))
    return len(header).to_bytes(8, "little") + header + tensors.data, f"a header of {len(header)} bytes"


def _many_tensors(content: bytes, rng: Random) -> _Changed:
    count = rng.choice([5_000, 19_999, 30_000])
    tensors = Tensors(content)
    empty = {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}
    tensors.header |= {f"{number}": empty for number in range(count)}
    return tensors.content(), f"{count} tensors"


def _empty(content: bytes, rng: Random) -> _Changed:
    return Tensors(b"\2\0\0\0\0\0\0\0{}").content(), "no tensors"


def _with_one(content: bytes, rng: Random, change: Callable[[NDArray[Any]], NDArray[Any]]) -> bytes:
    tensors = Tensors(content)
    arrays = tensors.arrays()
    name = rng.choice(list(arrays))
    arrays[name] = change(arrays[name])
    tensors.with_arrays(arrays)
    return tensors.content()


_CHANGES: list[Callable[[bytes, Random], _Changed]] = [
    _other_numbers, _numbers_beyond_reach, _another_name, _exchanged, _turned, _huge_header, _many_tensors, _empty,
]  # fmt: skip
