"""Files of text vectors: plain Parquet, written whole or not at all, refused if damaged."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recmem.text.vector_parts import VectorParts, text_hash
from tolerances import close

DIM = 8
TEXTS = ["ink", "paper", "", "🦊 墨盒", "shredder"]
HASHES = [text_hash(text) for text in TEXTS]
VECTORS = np.random.default_rng(0).normal(size=(len(TEXTS), DIM)).astype(np.float16)


def parts_in(folder: Path, *, fingerprint: str = "f" * 16, dim: int = DIM) -> VectorParts:
    return VectorParts(folder, fingerprint, dim)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """The path of the only part, which holds the vectors of `TEXTS`."""
    parts = parts_in(tmp_path)
    parts.write(HASHES, VECTORS)
    (name,) = parts.names()
    return parts.folder / name


def test_a_part_gives_back_its_hashes_and_vectors_in_order(part: Path, tmp_path: Path) -> None:
    assert parts_in(tmp_path).hashes(part.name).to_list() == HASHES
    close(parts_in(tmp_path).vectors(part.name), VECTORS, "exact")


def test_a_part_is_plain_parquet_that_others_can_read(part: Path, tmp_path: Path) -> None:
    assert part.parent == tmp_path / ("f" * 16)
    frame = pl.read_parquet(part)
    assert frame.schema == {"text_hash": pl.Binary, "vector": pl.Array(pl.Float16, DIM)}
    assert frame.get_column("text_hash")[0] == hashlib.blake2b(b"ink", digest_size=16).digest()
    close(frame.get_column("vector").to_numpy(), VECTORS, "exact")


def test_a_removed_part_is_gone(part: Path, tmp_path: Path) -> None:
    parts_in(tmp_path).remove(part.name)
    assert not part.exists()
    assert parts_in(tmp_path).names() == []


def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: pl.DataFrame, path: Path, **_: Any) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(OSError, match="No space left"):
        parts_in(tmp_path).write(HASHES, VECTORS)
    assert list(parts_in(tmp_path).folder.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut short", "emptied", "other bytes"])
def test_a_damaged_part_is_refused_by_name(part: Path, tmp_path: Path, damage: str) -> None:
    content = part.read_bytes()
    part.write_bytes({"cut short": content[: len(content) // 2], "emptied": b"", "other bytes": b"x" * 500}[damage])
    for read in (parts_in(tmp_path).hashes, parts_in(tmp_path).vectors):
        with pytest.raises(ValueError, match=rf"cache: expected vectors .*{part.name}, got .*Delete this file"):
            read(part.name)


def test_one_flipped_bit_in_a_vector_is_refused(part: Path, tmp_path: Path) -> None:
    stored = VECTORS[0].tobytes()
    content = part.read_bytes()
    assert content.count(stored) == 1
    flipped = bytes([stored[0] ^ 1]) + stored[1:]
    part.write_bytes(content.replace(stored, flipped))
    with pytest.raises(ValueError, match="got content that does not match its digest"):
        parts_in(tmp_path).vectors(part.name)


def test_a_part_of_another_fingerprint_is_refused(part: Path, tmp_path: Path) -> None:
    part.parent.rename(tmp_path / ("e" * 16))
    with pytest.raises(ValueError, match=r"got fingerprint f+, not e+\. Delete this file"):
        parts_in(tmp_path, fingerprint="e" * 16).hashes(part.name)


def test_a_part_with_vectors_of_another_length_is_refused(part: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected vectors of 9 dimensions .* got columns"):
        parts_in(tmp_path, dim=9).hashes(part.name)


def test_a_part_that_is_cut_short_while_it_is_read_does_no_harm(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = pl.read_parquet_schema

    def cut_short(source: Any) -> Any:
        schema = read(source)
        os.truncate(part, 0)  # a mapped file would end the process here
        return schema

    monkeypatch.setattr(pl, "read_parquet_schema", cut_short)
    assert parts_in(tmp_path).hashes(part.name).to_list() == HASHES


def test_a_part_that_the_disk_fails_to_read_is_not_called_damaged(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for target, name in ((Path, "read_bytes"), (pl, "read_parquet_metadata"), (pl, "read_parquet")):
        monkeypatch.setattr(target, name, lost)
    with pytest.raises(OSError, match="Input/output error"):
        parts_in(tmp_path).hashes(part.name)
