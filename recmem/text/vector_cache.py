"""The cache of text vectors on disk: each text is encoded once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError
from recmem.pipelining import behind
from recmem.text.vector_parts import Float16Array, VectorParts, text_hash

VECTORS_FOLDER = "vectors"
"""Folder of a store that keeps the text vectors."""
BASE_VECTORS = "work/base_vectors"
"""In the folder of a training: vectors of an encoder that was tuned for measuring only."""
FLUSH_TEXTS = 4096
"""New vectors are written after this many texts at most. A killed run loses at most two such parts, on CUDA four."""
LOOKUP_TEXTS = 65_536
"""Texts that are looked up in the index at once."""

_INDEX_SCHEMA = {"text_hash": pl.Binary(), "part": pl.String(), "row": pl.Int64()}

Value = TypeVar("Value")


class Encoder(Protocol):
    """What the cache needs of an encoder, such as `recmem.text.encoder.TextEncoder`."""

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
    """Vectors by text, in the parts under `<folder>/<fingerprint>`.

    Several processes may use one folder. Two that need the same new text at once may both encode it. The index (16
    bytes and a position per text) is kept in memory; vectors are read from the parts when they are needed.
    """

    def __init__(self, folder: str | Path, fingerprint: str, dim: int) -> None:
        self.fingerprint = fingerprint
        self.dim = dim
        self._parts = VectorParts(folder, fingerprint, dim)
        self._index = pl.DataFrame(schema=_INDEX_SCHEMA)
        self._indexed_parts: set[str] = set()

    @property
    def folder(self) -> Path:
        """The folder of the parts."""
        return self._parts.folder

    def __len__(self) -> int:
        """Number of distinct texts in the cache, including those that other processes have added."""
        self._refresh()
        return self._index.height

    def get_or_encode(
        self,
        texts: Sequence[str],
        encoder: Encoder,
        *,
        on_progress: Callable[[int], None] | None = None,
        flush_texts: int = FLUSH_TEXTS,
    ) -> Float[Tensor, "text dim"]:
        """The texts' vectors in their order: float32, equal to the stored float16 numbers, unit length within 1e-3.

        Texts that the cache lacks are encoded first, see `fill`.

        Raises ValueError if the encoder has another fingerprint than the cache, DataError if a part is damaged.
        """
        self.fill(texts, encoder, on_progress=on_progress, flush_texts=flush_texts)
        return self._gather([text_hash(text) for text in texts])

    def fill(
        self,
        texts: Iterable[str],
        encoder: Encoder,
        *,
        on_progress: Callable[[int], None] | None = None,
        flush_texts: int = FLUSH_TEXTS,
    ) -> None:
        """Encodes the texts that the cache lacks, each distinct text once, and stores their vectors.

        `texts` may be a stream: `LOOKUP_TEXTS` of them are in memory at once. Vectors are written after every
        `flush_texts` texts, while the next ones are encoded, so a later run continues where a killed one stopped, less
        two such parts (on CUDA four). `on_progress` is called with the number of texts just finished; over the call the
        numbers sum to the number of texts.
        """
        self._check_encoder(encoder)
        unwritten: set[bytes] = set()
        n_known: deque[int] = deque()
        parts = self._missing_parts(texts, flush_texts, unwritten, n_known)
        first = next(parts, None)
        _report(n_known, on_progress)
        if first is not None:  # an encoder is loaded when it is first used
            for _ in self._encode(chain([first], parts), unwritten, encoder, on_progress):
                _report(n_known, on_progress)
            _report(n_known, on_progress)

    def known(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts whose vectors are in the cache."""
        missing = self._missing({text_hash(text): text for text in texts})
        return [text for text in texts if text_hash(text) not in missing]

    @property
    def is_writable(self) -> bool:
        """Whether vectors can be added: the folder, or the one that it would be created in, can be written to."""
        nearest = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        return os.access(nearest, os.W_OK | os.X_OK)

    def forget(self, texts: Sequence[str]) -> int:
        """Removes the texts' vectors from the disk, and returns how many distinct texts were there.

        For free text that a user wrote and wants forgotten. A part that holds none of them is left as it is, the others
        are written again without them.
        """
        self._refresh()
        forgotten = pl.DataFrame({"text_hash": [text_hash(text) for text in texts]}, schema={"text_hash": pl.Binary})
        found = self._index.join(forgotten, on="text_hash", how="semi")
        for part in self._parts.names():
            hashes = self._parts.hashes(part)
            is_kept = ~hashes.is_in(forgotten.get_column("text_hash").implode())
            if is_kept.all():
                continue
            vectors = self._parts.vectors(part)
            if is_kept.any():
                self._parts.write(hashes.filter(is_kept).to_list(), vectors[is_kept.to_numpy()])
            self._parts.remove(part)
        return found.height

    def _missing_parts(
        self, texts: Iterable[str], flush_texts: int, unwritten: set[bytes], n_known: deque[int]
    ) -> Iterator[dict[bytes, str]]:
        """Texts that the cache lacks, by hash, `flush_texts` at a time; `n_known` gets the numbers of the others.

        `unwritten` has the hashes of those that were given before and have no vector on the disk yet.
        """
        for some in _chunks(texts, LOOKUP_TEXTS):
            hashed = {text_hash(text): text for text in some}
            # Before the look at the disk: a vector that is written in between is found there.
            for waiting in unwritten.intersection(hashed):
                del hashed[waiting]
            missing = self._missing(hashed)
            n_known.append(len(some) - len(missing))
            unwritten.update(missing)
            for part in _chunks(missing.items(), flush_texts):
                yield dict(part)

    def _encode(
        self,
        parts: Iterable[dict[bytes, str]],
        unwritten: set[bytes],
        encoder: Encoder,
        on_progress: Callable[[int], None] | None,
    ) -> Iterator[None]:
        """Encodes texts by hash, and writes each part's vectors while the next ones are encoded. Yields at each part.

        An encoder takes parts ahead, in a thread: texts are looked up and tokenized while others are encoded.
        """
        given: deque[list[bytes]] = deque()

        def texts_of_parts() -> Iterator[list[str]]:
            for part in parts:
                given.append(list(part))
                yield list(part.values())

        def write(content: tuple[list[bytes], Float16Array]) -> None:
            hashes, vectors = content
            self._parts.write(hashes, vectors)
            unwritten.difference_update(hashes)

        with (
            behind(write, at_most=1) as put,
            closing(encoder.encode_each(texts_of_parts(), on_progress=on_progress)) as encoded,
        ):
            for vectors in encoded:
                put((given.popleft(), vectors.numpy().astype(np.float16)))
                yield

    def _missing(self, texts: dict[bytes, str]) -> dict[bytes, str]:
        self._refresh()
        known = set(self._known(pl.Series(list(texts), dtype=pl.Binary)))
        return {hashed: text for hashed, text in texts.items() if hashed not in known}

    def _known(self, hashes: pl.Series) -> pl.Series:
        # Not a join: it would build a hash table of the whole index, however few hashes are given.
        indexed = self._index.get_column("text_hash")
        return indexed.filter(indexed.is_in(hashes.implode()))

    def _gather(self, hashes: list[bytes]) -> Float[Tensor, "text dim"]:
        self._refresh()
        try:
            return self._read(hashes)
        except FileNotFoundError:  # see `_refresh`
            self._refresh()
            return self._read(hashes)

    def _read(self, hashes: list[bytes]) -> Float[Tensor, "text dim"]:
        """The vectors of these texts, out of the parts in which the index has them."""
        wanted = pl.DataFrame({"text_hash": hashes}, schema={"text_hash": pl.Binary}).with_row_index("position")
        places = wanted.join(self._index, on="text_hash", how="inner")
        if len(places) < len(hashes):
            raise DataError(
                f"cache: expected the vectors of all {len(hashes)} texts, got {len(places)}: another process has "
                "removed some since they were encoded. Try again."
            )
        vectors = torch.empty(len(hashes), self.dim)
        for (part,), rows in places.group_by("part"):
            stored = self._parts.vectors(str(part))[rows.get_column("row").to_numpy()]
            vectors[torch.tensor(rows.get_column("position").to_list())] = torch.from_numpy(stored).float()
        return vectors

    def _refresh(self) -> None:
        """Brings the index up to the parts that are on disk now, including those of other processes."""
        try:
            self._index_new_parts()
        except FileNotFoundError:
            # Since the parts were listed, `forget` in another process has replaced one by a new one.
            self._index_new_parts()

    def _index_new_parts(self) -> None:
        parts = self._parts.names()
        if self._indexed_parts - set(parts):
            # A part was removed: some of its texts may be in other parts, which the index did not need then.
            self._indexed_parts = set()
            self._index = self._index.clear()
        new_parts = [part for part in parts if part not in self._indexed_parts]
        if not new_parts:
            return
        new = pl.concat([self._index_of(part) for part in new_parts])
        new = new.unique("text_hash", keep="first", maintain_order=True)
        # Two processes may have encoded the same text: the part that was indexed first keeps it.
        known = self._known(new.get_column("text_hash"))
        self._index = pl.concat([self._index, new.filter(~pl.col("text_hash").is_in(known.implode()))])
        self._indexed_parts.update(new_parts)

    def _index_of(self, part: str) -> pl.DataFrame:
        position = {"part": pl.lit(part), "row": pl.int_range(pl.len(), dtype=pl.Int64)}
        return pl.DataFrame({"text_hash": self._parts.hashes(part)}).with_columns(**position)

    def _check_encoder(self, encoder: Encoder) -> None:
        if (encoder.fingerprint, encoder.dim) != (self.fingerprint, self.dim):
            raise ValueError(
                f"encoder: expected fingerprint {self.fingerprint} with {self.dim} dimensions, "
                f"got {encoder.fingerprint} with {encoder.dim}. "
                "Open a cache with this encoder's fingerprint: vectors of two encoders cannot be mixed."
            )


def forget_texts(folder: str | Path, texts: Sequence[str]) -> int:
    """Removes the texts' vectors of every fingerprint in a cache's folder, and returns how many there were."""
    return sum(cache.forget(texts) for cache in _caches(folder))


def cached_texts(folder: str | Path, texts: Sequence[str]) -> list[str]:
    """Those of the texts that have a vector of any fingerprint in a cache's folder."""
    return sorted({text for cache in _caches(folder) for text in cache.known(texts)})


def _caches(folder: str | Path) -> Iterator[VectorCache]:
    """The caches of all fingerprints in a folder."""
    for own in sorted(Path(folder).glob("*/")):
        part = next(own.glob("part-*.parquet"), None)
        if part is not None:
            vector = pl.read_parquet_schema(part)["vector"]
            dim = vector.shape[0] if isinstance(vector, pl.Array) else 0
            yield VectorCache(folder, own.name, dim)


def _report(numbers: deque[int], on_progress: Callable[[int], None] | None) -> None:
    """Reports and removes the numbers of texts."""
    while numbers:
        number = numbers.popleft()
        if on_progress is not None and number:
            on_progress(number)


def _chunks(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk
