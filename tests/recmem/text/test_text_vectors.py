"""Both spaces side by side: in order, each cached under its own fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from counting_encoder import DIM, CountingEncoder
from recmem.text.cached_encoder import CachedEncoder
from recmem.text.text_vectors import TextVectors
from recmem.text.unit_vectors import exact_units
from recmem.text.vector_cache import VectorCache, cached_texts, forget_texts
from recmem.text.vector_parts import damaged_parts
from tolerances import close

FROZEN = "a" * 16
TUNED = "b" * 16
TEXTS = ["ink", "paper", "ink", ""]


class MirroredEncoder(CountingEncoder):
    def vector(self, text: str) -> torch.Tensor:
        return super().vector(text).flip(0)


def both(folder: Path) -> tuple[TextVectors, list[CountingEncoder]]:
    encoders: list[Any] = [CountingEncoder(fingerprint=FROZEN), MirroredEncoder(fingerprint=TUNED)]
    spaces = [CachedEncoder(encoder, VectorCache(folder, encoder.fingerprint, DIM)) for encoder in encoders]
    return TextVectors(spaces), encoders


def expected() -> torch.Tensor:
    frozen = exact_units(torch.stack([CountingEncoder().vector(text) for text in TEXTS]).half().float())
    return torch.cat([frozen, frozen.flip(1)], dim=1)


def test_the_frozen_vectors_come_first_and_each_text_is_encoded_once_in_each_space(tmp_path: Path) -> None:
    vectors, encoders = both(tmp_path)
    close(vectors.of_items(TEXTS), expected(), "exact")
    close(vectors.of_texts(TEXTS), expected(), "exact")
    again, fresh = both(tmp_path)
    close(again.of_items(TEXTS), expected(), "exact")
    for encoder in encoders:
        assert encoder.encoded == dict.fromkeys(TEXTS, 2)  # once for the store, once for callers' texts
    assert [encoder.encoded.total() for encoder in fresh] == [0, 0]


def test_forgetting_a_text_removes_it_from_both_spaces_and_the_file_audit_sees_both(tmp_path: Path) -> None:
    vectors, _ = both(tmp_path)
    vectors.of_items(TEXTS)
    assert sorted(name.partition("/")[0] for name in damaged_parts(tmp_path)) == [FROZEN, TUNED]
    assert forget_texts(tmp_path, ["ink"]) == 2
    assert cached_texts(tmp_path, TEXTS) == ["", "paper"]
