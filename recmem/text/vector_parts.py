"""Files of text vectors: immutable Parquet parts with a digest of their content, written atomically."""

from __future__ import annotations

import hashlib
import os
import uuid
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_store.atomic_files import remove_abandoned
from feature_store.data_errors import DataError, is_library_failure
from feature_store.noted_digests import TableDigests

HASH_BYTES = 16
"""Length of a text's hash, and of a part's digest."""

_FINGERPRINT_KEY = "recmem_fingerprint"
_DIGEST_KEY = "recmem_digest"

Float16Array = NDArray[np.float16]


class VectorParts:
    """The parts `<folder>/<fingerprint>/part-*.parquet`: vectors by text hash, in one embedding space.

    A part has the columns `text_hash` (Binary, see `text_hash`) and `vector` (Array(Float16, dim)). Its metadata holds
    the fingerprint and a digest of its content. Several processes may read and add parts at once.
    """

    def __init__(self, folder: str | Path, fingerprint: str, dim: int) -> None:
        self.folder = Path(folder) / fingerprint
        self.fingerprint = fingerprint
        self.dim = dim
        self._digests = TableDigests(self.folder)

    def names(self) -> list[str]:
        """The parts that are on disk now, sorted."""
        return sorted(path.name for path in self.folder.glob("part-*.parquet"))

    def write(self, hashes: list[bytes], vectors: Float16Array) -> None:
        """Adds a part with these hashes and their vectors: float16[text, dim]."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(self.folder.glob("unfinished-*"))
        name = uuid.uuid4().hex
        unfinished = self.folder / f"unfinished-{name}"
        frame = pl.DataFrame(
            {
                "text_hash": pl.Series(hashes, dtype=pl.Binary),
                "vector": pl.Series(vectors, dtype=pl.Array(pl.Float16, self.dim)),
            }
        )
        metadata = {_FINGERPRINT_KEY: self.fingerprint, _DIGEST_KEY: _content_digest(hashes, vectors)}
        try:
            frame.write_parquet(unfinished, compression="uncompressed", metadata=metadata)
            os.replace(unfinished, self.folder / f"part-{name}.parquet")
            self._digests.note([f"part-{name}.parquet"])
        finally:  # leaves nothing behind on a full disk
            unfinished.unlink(missing_ok=True)

    def remove(self, part: str) -> None:
        """Deletes a part."""
        (self.folder / part).unlink()

    def hashes(self, part: str) -> pl.Series:
        """The hashes of a part's texts: Binary. Raises DataError if the part is damaged."""
        return self._read(part, with_vectors=False).get_column("text_hash")

    def vectors(self, part: str) -> Float16Array:
        """The vectors of a part, float16[text, dim], in the order of its hashes. Raises DataError if it is damaged."""
        vectors: Float16Array = self._read(part, with_vectors=True).get_column("vector").to_numpy()
        return vectors

    def is_changed(self, part: str) -> bool:
        """Whether the file differs from what was written, as far as that was noted."""
        return self._digests.is_changed(part, self._digests.noted())

    def _read(self, part: str, *, with_vectors: bool) -> pl.DataFrame:
        # Before it is parsed: damaged metadata can make polars panic.
        if self.is_changed(part):
            raise self._damaged(part, "content that does not match its digest")
        # Read as a whole, not mapped: losing the drive is then an error. With a mapped file it would end the process.
        file = BytesIO((self.folder / part).read_bytes())
        try:
            metadata = pl.read_parquet_metadata(file)
            schema = pl.read_parquet_schema(file)
            if metadata.get(_FINGERPRINT_KEY) != self.fingerprint:
                raise self._damaged(part, f"fingerprint {metadata.get(_FINGERPRINT_KEY)}, not {self.fingerprint}")
            if schema != {"text_hash": pl.Binary, "vector": pl.Array(pl.Float16, self.dim)}:
                raise self._damaged(part, f"columns {dict(schema)}")
            frame = pl.read_parquet(file, columns=list(schema) if with_vectors else ["text_hash"])
        except BaseException as error:
            if not is_library_failure(error):
                raise
            raise self._damaged(part, str(error).partition("\n")[0]) from error
        if with_vectors:
            hashes = frame.get_column("text_hash").to_list()
            vectors = frame.get_column("vector").to_numpy()
            if _content_digest(hashes, vectors) != metadata.get(_DIGEST_KEY):
                raise self._damaged(part, "content that does not match its digest")
        return frame

    def _damaged(self, part: str, found: str) -> DataError:
        return DataError(
            f"cache: expected vectors of {self.dim} dimensions under fingerprint {self.fingerprint} in "
            f"{self.folder / part}, got {found}. Delete this file: its texts are encoded again when they are needed."
        )


def damaged_parts(folder: Path) -> dict[str, bool]:
    """Every part under a cache's folder by its name there, and whether it is damaged."""
    found = {}
    for path in sorted(folder.glob("*/part-*.parquet")):
        fingerprint = path.parent.name
        if VectorParts(folder, fingerprint, 0).is_changed(path.name):
            found[f"{fingerprint}/{path.name}"] = True
            continue
        try:
            vector = pl.read_parquet_schema(path)["vector"]
            dim = vector.shape[0] if isinstance(vector, pl.Array) else 0
            VectorParts(folder, fingerprint, dim).vectors(path.name)
            is_damaged = False
        except FileNotFoundError:
            continue  # another process has just written its vectors into a new part
        except BaseException as error:
            if not isinstance(error, ValueError | KeyError) and not is_library_failure(error):
                raise
            is_damaged = True
        found[f"{fingerprint}/{path.name}"] = is_damaged
    return found


def text_hash(text: str) -> bytes:
    """The name of a text in a part: blake2b-128 of its UTF-8 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=HASH_BYTES).digest()


def _content_digest(hashes: list[bytes], vectors: Float16Array) -> str:
    digest = hashlib.blake2b(b"".join(hashes), digest_size=HASH_BYTES)
    digest.update(np.ascontiguousarray(vectors).data)
    return digest.hexdigest()
