"""What was learned, put into the frozen encoder in serving: in half precision, and refused in words if it is wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from feature_store import DataError
from recmem.text.encoder_tuning import EncoderTuning, tunable, tuned_fingerprint, tuned_tensors
from recmem.text.tuned_encoder import halved, rounded, tuned_encoder
from tiny_encoder import tiny_encoder
from tolerances import close

TUNING = EncoderTuning("last", layers=1)
TEXTS = ["curl client library", "sound codec"]


def learned() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    tensors = tuned_tensors(tunable(tiny_encoder().model, TUNING))
    return {
        name: rounded(tensor + 0.1 * torch.randn(tensor.shape, generator=generator)) for name, tensor in tensors.items()
    }


def test_tensors_in_half_precision_are_the_same_encoder() -> None:
    tensors = learned()
    fingerprint = tuned_fingerprint(tiny_encoder().fingerprint, TUNING, tensors)
    stored = {name: halved(tensor) for name, tensor in tensors.items()}
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    encoder = tuned_encoder(tiny_encoder(), TUNING, stored, fingerprint=fingerprint)
    close(encoder.encode(TEXTS), tiny_encoder().tuned(TUNING, tensors).encode(TEXTS), "exact")
    assert encoder.fingerprint == fingerprint


def test_other_tensors_than_the_fingerprint_names_are_refused() -> None:
    tensors = learned()
    fingerprint = tuned_fingerprint(tiny_encoder().fingerprint, TUNING, tensors)
    name = min(tensors)
    with pytest.raises(DataError, match=rf"^encoder: expected what was learned under fingerprint {fingerprint}, got "):
        tuned_encoder(tiny_encoder(), TUNING, tensors | {name: tensors[name] + 1}, fingerprint=fingerprint)


def test_tensors_of_another_encoder_are_refused_in_words() -> None:
    tensors = learned()
    name = min(tensors)
    with pytest.raises(DataError, match=r"tuned text encoder cannot be used\. encoder\..*: expected a float32 tensor"):
        tuned_encoder(tiny_encoder(), TUNING, tensors | {name: torch.ones(3, 3)}, fingerprint="a" * 16)


def test_rounding_moves_a_vector_by_less_than_the_grid_it_is_stored_on() -> None:
    exact = {name: tensor * 1.0001 for name, tensor in learned().items()}
    near = {name: rounded(tensor) for name, tensor in exact.items()}
    before = tiny_encoder().tuned(TUNING, exact).encode(TEXTS)
    after = tiny_encoder().tuned(TUNING, near).encode(TEXTS)
    assert 1 - float((before * after).sum(dim=1).min()) < 1e-5
    assert any(not torch.equal(near[name], exact[name]) for name in exact)


def test_numbers_beyond_half_precision_stay_as_they_are() -> None:
    large = torch.tensor([1.0, 1e6])
    close(rounded(large), large, "exact")
    assert halved(large).dtype == torch.float32
    assert halved(torch.tensor([0.1])).dtype == torch.float32
    assert halved(torch.tensor([0.5])).dtype == torch.float16
