"""The encoder of a served model: which texts it encodes, what it keeps, and when it is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from counting_encoder import DIM, FINGERPRINT, CountingEncoder
from feature_store import DataError, Store
from recmem.text import cached_encoder
from recmem.text.cached_encoder import CachedEncoder, LazyEncoder
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.unit_vectors import exact_units
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache
from tolerances import close

TEXTS = ["ink", "paper", "ink", ""]


def expected_vectors(texts: Sequence[str]) -> Tensor:
    """Those that the cache on disk would give: float16, then on the grid."""
    return exact_units(torch.stack([CountingEncoder().vector(text) for text in texts]).half().float())


def made(encoder: CountingEncoder, cache: VectorCache | None = None) -> CachedEncoder:
    stand_in: Any = encoder
    return CachedEncoder(stand_in, cache)


def test_a_text_has_the_same_vector_as_an_item_and_as_a_callers(tmp_path: Path) -> None:
    encoder = made(CountingEncoder(), VectorCache(tmp_path, FINGERPRINT, DIM))
    close(encoder.of_items(TEXTS), expected_vectors(TEXTS), "exact")
    close(encoder.of_texts(TEXTS), expected_vectors(TEXTS), "exact")


def test_item_texts_are_kept_on_disk_and_callers_texts_in_memory_only(tmp_path: Path) -> None:
    counting = CountingEncoder()
    encoder = made(counting, VectorCache(tmp_path, FINGERPRINT, DIM))
    encoder.of_texts(["my illness"])
    assert list(tmp_path.iterdir()) == []
    encoder.of_items(["ink"])
    assert len(VectorCache(tmp_path, FINGERPRINT, DIM)) == 1
    encoder.of_texts(["my illness"])
    assert counting.encoded == Counter(["my illness", "ink"])


def test_without_a_cache_on_disk_items_are_kept_in_memory() -> None:
    counting = CountingEncoder()
    encoder = made(counting)
    for _ in range(2):
        close(encoder.of_items(TEXTS), expected_vectors(TEXTS), "exact")
    assert counting.encoded == Counter(set(TEXTS))


def test_texts_beyond_the_limit_are_encoded_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_encoder, "MAX_KEPT_TEXTS", 2)
    counting = CountingEncoder()
    encoder = made(counting)
    for texts in (["a", "b"], ["c", "d", "e"], ["a"]):
        close(encoder.of_texts(texts), expected_vectors(texts), "exact")
    encoder.of_texts(["a"])
    assert counting.encoded == Counter({"a": 2, "b": 1, "c": 1, "d": 1, "e": 1})


def test_no_text_gives_no_vector() -> None:
    assert made(CountingEncoder()).of_texts([]).shape == (0, DIM)


@pytest.mark.parametrize(("path", "has_cache"), [("store", True), ("s3://bucket/store", False)])
def test_only_a_store_on_a_local_disk_has_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, has_cache: bool
) -> None:
    monkeypatch.chdir(tmp_path)  # where an address taken for a path would be created
    store: Any = SimpleNamespace(path=path)
    stand_in: Any = CountingEncoder()
    CachedEncoder.of(stand_in, store).of_items(["ink"])
    assert [file.parent.parent.name for file in tmp_path.rglob("part-*")] == [VECTORS_FOLDER] * has_cache


def lazy(**options: Any) -> LazyEncoder:
    return LazyEncoder.of(EncoderConfig(), **{"fingerprint": FINGERPRINT, "dim": DIM, "device": "cpu"} | options)


def loading(monkeypatch: pytest.MonkeyPatch, load: Callable[..., object]) -> list[EncoderConfig]:
    """Puts `load` in place of reading an encoder's files; the configurations that it was called with."""
    loaded: list[EncoderConfig] = []

    def record(config: EncoderConfig, **_: object) -> object:
        loaded.append(config)
        return load()

    monkeypatch.setattr(TextEncoder, "load", record)
    return loaded


def test_the_encoder_is_loaded_once_when_the_first_text_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loading(monkeypatch, CountingEncoder)
    encoder = lazy()
    assert loaded == []
    close(encoder.encode(["ink"]), CountingEncoder().encode(["ink"]), "exact")
    assert len(list(encoder.encode_each([["ink"], ["paper"]]))) == 2
    assert loaded == [EncoderConfig()]


def test_texts_in_the_cache_need_no_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(tmp_path / "store")
    VectorCache(tmp_path / "store" / VECTORS_FOLDER, FINGERPRINT, DIM).fill(TEXTS, CountingEncoder())
    loaded = loading(monkeypatch, CountingEncoder)
    encoder = CachedEncoder.of(lazy(), store)
    close(encoder.of_items(TEXTS), expected_vectors(TEXTS), "exact")
    assert loaded == []


@pytest.mark.parametrize("option", [{"fingerprint": "e" * 16}, {"dim": DIM + 1}])
def test_another_encoder_than_that_of_the_training_is_refused(
    monkeypatch: pytest.MonkeyPatch, option: dict[str, object]
) -> None:
    loading(monkeypatch, CountingEncoder)
    with pytest.raises(DataError, match=r"encoder: expected all-MiniLM-L6-v2 with .*Give the encoder that the model"):
        lazy(**option).encode(["ink"])


def test_an_encoder_that_is_not_found_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise FileNotFoundError("encoder: expected a folder")

    loading(monkeypatch, missing)
    with pytest.raises(DataError, match=r"^encoder: expected a folder"):
        lazy().encode(["ink"])


def test_a_model_of_an_earlier_version_is_used_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def load() -> CountingEncoder:
        encoder = CountingEncoder()
        encoder.earlier_fingerprint = "e" * 16
        return encoder

    loading(monkeypatch, load)
    close(lazy(fingerprint="e" * 16).encode(["ink"]), CountingEncoder().encode(["ink"]), "exact")
    assert "expected a model that records the settings of all-MiniLM-L6-v2, got one of recmem 0.1" in caplog.text
    caplog.clear()
    lazy().encode(["ink"])
    assert caplog.text == ""


def test_an_encoder_that_cannot_be_used_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ValueError("encoder: expected a model that transformers can load, got an error. Save it again.")

    loading(monkeypatch, broken)
    with pytest.raises(DataError, match=r"^encoder: expected a model that transformers can load"):
        lazy().encode(["ink"])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            FloatingPointError("encoder: expected finite vectors, got NaN."),
            "^encoder: expected finite vectors from",
        ),
        (ValueError("encoder: expected a tokenizer of this encoder, got token 96."), "^encoder: expected a tokenizer"),
    ],
)
def test_an_encoder_that_fails_once_it_is_loaded_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def encode(*_: object, **__: object) -> Tensor:
        raise error

    def load() -> CountingEncoder:
        encoder = CountingEncoder()
        monkeypatch.setattr(encoder, "encode", encode)
        monkeypatch.setattr(encoder, "encode_each", encode)
        return encoder

    loading(monkeypatch, load)
    with pytest.raises(DataError, match=message):
        lazy().encode(["ink"])
    with pytest.raises(DataError, match=message):
        list(lazy().encode_each([["ink"]]))
