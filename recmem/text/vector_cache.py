"""The cache of text vectors on disk: a text is encoded once in its life."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from feature_store.atomic_files import remove_abandoned
from recmem.pipelining import behind

CACHE = "vectors"
"""Folder of a store that keeps the text vectors."""
GRID = 2048
"""Numbers of a unit vector are multiples of 1 / GRID."""
FLUSH_TEXTS = 4096
"""New vectors are written after at most this many texts, while the next are encoded: a killed run loses two parts."""
LOOKED_UP_TEXTS = 65_536
"""Texts that are looked up in the index at once."""

_HASH_BYTES = 16
_FINGERPRINT_KEY = "recmem_fingerprint"
_DIGEST_KEY = "recmem_digest"
_PLACE_SCHEMA = {"text_hash": pl.Binary(), "part": pl.String(), "row": pl.Int64()}

Half = NDArray[np.float16]
Value = TypeVar("Value")


def exact_units(vectors: Float[Tensor, "text dim"]) -> Float[Tensor, "text dim"]:
    """Unit vectors whose cosines come out the same however they are summed: float32, rounded to 1 / GRID.

    A product of two numbers is a multiple of 2^-22 and the sum of their magnitudes about 1, so every sum is exact in
    float32, in any order, on any device; float16 holds the numbers themselves without loss. The price is a cosine
    that is some 2e-4 off, as the rounding of bfloat16 weights is.
    """
    return functional.normalize(vectors, dim=1).mul(GRID).round().div(GRID)


def forget_texts(folder: str | Path, texts: Sequence[str]) -> int:
    """Removes the texts' vectors of every fingerprint under a cache's folder; how many there were."""
    n_gone = 0
    for own in sorted(Path(folder).glob("*/")):
        part = next(own.glob("part-*.parquet"), None)
        if part is not None:
            vector = pl.read_parquet_schema(part)["vector"]
            dim = vector.shape[0] if isinstance(vector, pl.Array) else 0
            n_gone += VectorCache(folder, own.name, dim).forget(texts)
    return n_gone


class Encoder(Protocol):
    """What the cache asks of an encoder; `recmem.text.encoder.TextEncoder` is one."""

    @property
    def fingerprint(self) -> str:
        """Name of the embedding space."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def encode_each(
        self, parts: Iterable[Sequence[str]], *, on_progress: Callable[[int], None] | None = None
    ) -> Generator[Float[Tensor, "text dim"], None, None]:
        """Unit vectors of each part's texts, in order."""


class VectorCache:
    """Vectors by text, in Parquet parts under `<folder>/<fingerprint>/part-*.parquet`.

    A part has the columns `text_hash` (Binary, blake2b-128 of the UTF-8 text) and `vector` (Array(Float16, dim)), and
    in its metadata the fingerprint and a digest of its content. Parts are never changed, and appear whole or not at
    all: several processes may use one folder. Two that meet the same new text at once may both encode it.
    The index (16 bytes and a place per text) is held in memory; vectors are read from the parts that are asked for.
    """

    def __init__(self, folder: str | Path, fingerprint: str, dim: int) -> None:
        self.folder = Path(folder) / fingerprint
        self.fingerprint = fingerprint
        self.dim = dim
        self._places = pl.DataFrame(schema=_PLACE_SCHEMA)
        self._indexed: set[str] = set()

    def __len__(self) -> int:
        """Number of distinct texts in the cache, those included that other processes have added."""
        self._refresh()
        return self._places.height

    def get_or_encode(
        self,
        texts: Sequence[str],
        encoder: Encoder,
        *,
        on_progress: Callable[[int], None] | None = None,
        flush_texts: int = FLUSH_TEXTS,
    ) -> Float[Tensor, "text dim"]:
        """The texts' vectors in their order, float32: exactly the stored half floats, unit length within 1e-3.

        Texts that the cache lacks are encoded, each distinct one once, and kept after every `flush_texts` of them: a
        run that is killed goes on where it stopped, but for the last two such parts. `on_progress` is called with the
        number of texts just finished (those already known: at once); over the call the numbers sum to `len(texts)`.

        Raises ValueError where the encoder is not of the cache's fingerprint, or where a part is damaged.
        """
        self.fill(texts, encoder, on_progress=on_progress, flush_texts=flush_texts)
        return self._gather([_text_hash(text) for text in texts])

    def fill(
        self,
        texts: Iterable[str],
        encoder: Encoder,
        *,
        on_progress: Callable[[int], None] | None = None,
        flush_texts: int = FLUSH_TEXTS,
    ) -> None:
        """As `get_or_encode`, and gives nothing back: of texts that come one by one, some ten thousand are held.

        Vectors are written while the next ones are encoded.
        """
        self._check_encoder(encoder)
        for some in _chunks(texts, LOOKED_UP_TEXTS):
            missing = self._missing({_text_hash(text): text for text in some})
            if on_progress is not None and len(some) > len(missing):
                on_progress(len(some) - len(missing))
            if not missing:
                continue  # an encoder that is not asked is not loaded
            hashes = list(_chunks(missing.keys(), flush_texts))
            parts = _chunks(missing.values(), flush_texts)
            with (
                behind(self._write, at_most=1) as put,
                closing(encoder.encode_each(parts, on_progress=on_progress)) as encoded,
            ):
                for part, vectors in zip(hashes, encoded, strict=True):
                    put((part, vectors.numpy().astype(np.float16)))

    def forget(self, texts: Sequence[str]) -> int:
        """Removes the texts' vectors from the disk, and returns how many distinct texts were there.

        For free text that a user wrote and wants forgotten. An emptied part disappears, others are written anew.
        """
        self._refresh()
        gone = pl.DataFrame({"text_hash": [_text_hash(text) for text in texts]}, schema={"text_hash": pl.Binary})
        found = self._places.join(gone, on="text_hash", how="semi")
        for part in self._parts():
            hashes = self._read_hashes(part)
            kept = ~hashes.is_in(gone.get_column("text_hash").implode())
            if not kept.all():
                vectors = self._read_vectors(part)
                if kept.any():
                    self._write((hashes.filter(kept).to_list(), vectors[kept.to_numpy()]))
                (self.folder / part).unlink()
        return found.height

    def _missing(self, texts: dict[bytes, str]) -> dict[bytes, str]:
        self._refresh()
        known = set(self._known(pl.Series(list(texts), dtype=pl.Binary)))
        return {text_hash: text for text_hash, text in texts.items() if text_hash not in known}

    def _known(self, hashes: pl.Series) -> pl.Series:
        # A join would build its table from the index, however few are asked for.
        held = self._places.get_column("text_hash")
        return held.filter(held.is_in(hashes.implode()))

    def _gather(self, hashes: list[bytes]) -> Float[Tensor, "text dim"]:
        self._refresh()
        asked = pl.DataFrame({"text_hash": hashes}, schema={"text_hash": pl.Binary}).with_row_index("position")
        places = asked.join(self._places, on="text_hash", how="inner")
        if len(places) < len(hashes):
            raise ValueError(
                f"cache: expected the vectors of all {len(hashes)} texts, got {len(places)}: some were forgotten "
                "meanwhile. Ask again."
            )
        vectors = torch.empty(len(hashes), self.dim)
        for (part,), rows in places.group_by("part"):
            stored = self._read_vectors(str(part))[rows.get_column("row").to_numpy()]
            vectors[torch.tensor(rows.get_column("position").to_list())] = torch.from_numpy(stored).float()
        return vectors

    def _refresh(self) -> None:
        """Brings the index up to the parts that are on disk now: those of other processes too."""
        parts = self._parts()
        if self._indexed - set(parts):
            self._indexed = set()
            self._places = self._places.clear()
        new = [part for part in parts if part not in self._indexed]
        if not new:
            return
        frames = []
        for part in new:
            place = {"part": pl.lit(part), "row": pl.int_range(pl.len(), dtype=pl.Int64)}
            frames.append(pl.DataFrame({"text_hash": self._read_hashes(part)}).with_columns(**place))
        fresh = pl.concat(frames).unique("text_hash", keep="first", maintain_order=True)
        twice = self._known(fresh.get_column("text_hash"))
        self._places = pl.concat([self._places, fresh.filter(~pl.col("text_hash").is_in(twice.implode()))])
        self._indexed.update(new)

    def _parts(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("part-*.parquet"))

    def _write(self, content: tuple[list[bytes], Half]) -> None:
        """A new part of hashes and vectors; under a name that no reader looks for until it is whole."""
        hashes, vectors = content
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
        finally:  # a disk that is full is not to be filled further
            unfinished.unlink(missing_ok=True)

    def _read_hashes(self, part: str) -> pl.Series:
        return self._read(part, with_vectors=False).get_column("text_hash")

    def _read_vectors(self, part: str) -> Half:
        vectors: Half = self._read(part).get_column("vector").to_numpy()
        return vectors

    def _read(self, part: str, *, with_vectors: bool = True) -> pl.DataFrame:
        # Read as a whole, not mapped: a drive that is lost then is an error, and no end of the process.
        file = BytesIO((self.folder / part).read_bytes())
        try:
            metadata, schema = pl.read_parquet_metadata(file), pl.read_parquet_schema(file)
            if metadata.get(_FINGERPRINT_KEY) != self.fingerprint:
                found = f"fingerprint {metadata.get(_FINGERPRINT_KEY)}, not {self.fingerprint}"
                raise self._damaged(part, found)
            if schema != {"text_hash": pl.Binary, "vector": pl.Array(pl.Float16, self.dim)}:
                raise self._damaged(part, f"columns {dict(schema)}")
            frame = pl.read_parquet(file, columns=list(schema) if with_vectors else ["text_hash"])
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged(part, str(error)) from error
        if with_vectors:
            hashes, vectors = frame.get_column("text_hash").to_list(), frame.get_column("vector").to_numpy()
            if _content_digest(hashes, vectors) != metadata.get(_DIGEST_KEY):
                raise self._damaged(part, "content that does not match its digest")
        return frame

    def _damaged(self, part: str, found: str) -> ValueError:
        return ValueError(
            f"cache: expected vectors of {self.dim} dimensions under fingerprint {self.fingerprint} in "
            f"{self.folder / part}, got {found}. Delete this file: its texts are encoded again when they are asked for."
        )

    def _check_encoder(self, encoder: Encoder) -> None:
        if (encoder.fingerprint, encoder.dim) != (self.fingerprint, self.dim):
            raise ValueError(
                f"encoder: expected fingerprint {self.fingerprint} with {self.dim} dimensions, "
                f"got {encoder.fingerprint} with {encoder.dim}. "
                "Open a cache with this encoder's fingerprint: vectors of two encoders never mix."
            )


def _text_hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=_HASH_BYTES).digest()


def _content_digest(hashes: list[bytes], vectors: Half) -> str:
    digest = hashlib.blake2b(b"".join(hashes), digest_size=_HASH_BYTES)
    digest.update(np.ascontiguousarray(vectors).data)
    return digest.hexdigest()


def _chunks(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk
