"""Adapters in the weights: the vectors are those of PEFT's adapters, and what does not fit changes nothing."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from recmem.text.encoder_tuning import EncoderTuning, load_tuned_tensors, tunable, tuned_tensors
from recmem.text.merged_adapters import MERGED_KINDS
from tiny_encoder import tiny_encoder
from tolerances import close

TEXTS = ["curl client library", "sound codec", "gtk image file for cairo", ""]


def learner(kind: Any, rank: int) -> tuple[Any, dict[str, torch.Tensor]]:
    """An encoder with PEFT's adapters, all of them moved, and what it has learned."""
    encoder = tiny_encoder()
    encoder.model = tunable(encoder.model, EncoderTuning(kind, rank=rank))
    generator = torch.Generator().manual_seed(2)
    tensors = {
        name: tensor + 0.3 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in tuned_tensors(encoder.model).items()
    }
    load_tuned_tensors(encoder.model, tensors)
    return encoder, tensors


@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("kind", MERGED_KINDS)
def test_merged_weights_give_the_vectors_of_pefts_adapters(kind: Any, rank: int) -> None:
    encoder, tensors = learner(kind, rank)
    merged = tiny_encoder().tuned(EncoderTuning(kind, rank=rank), tensors)
    close(merged.encode(TEXTS), encoder.encode(TEXTS), "float32")
    assert (merged.encode(TEXTS) - tiny_encoder().encode(TEXTS)).abs().max() > 0.05


@pytest.mark.parametrize("kind", MERGED_KINDS)
def test_no_adapter_package_is_needed_to_serve(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    _, tensors = learner(kind, 2)
    expected = tiny_encoder().tuned(EncoderTuning(kind, rank=2), tensors).encode(TEXTS)
    monkeypatch.setitem(sys.modules, "peft", None)
    close(tiny_encoder().tuned(EncoderTuning(kind, rank=2), tensors).encode(TEXTS), expected, "exact")


def test_a_rank_beyond_the_tensors_is_refused_before_anything_is_allocated() -> None:
    _, tensors = learner("lora", 2)
    with pytest.raises(ValueError, match=r"encoder\..*lora_A.*: expected a float32 tensor of shape \(4096, "):
        tiny_encoder().tuned(EncoderTuning("lora", rank=4096), tensors)


@pytest.mark.parametrize("kind", MERGED_KINDS)
def test_tensors_that_do_not_fit_leave_the_encoder_as_it_was(kind: Any) -> None:
    _, tensors = learner(kind, 2)
    last = list(tensors)[-1]
    encoder = tiny_encoder()
    before = encoder.encode(TEXTS)
    with pytest.raises(ValueError, match=r"expected finite numbers, got NaN or infinity\. Train again"):
        encoder.tuned(EncoderTuning(kind, rank=2), tensors | {last: tensors[last] * torch.nan})
    rest = {name: tensor for name, tensor in tensors.items() if name != last}
    with pytest.raises(ValueError, match=r"tensors of this tuning, got .* missing or too many"):
        encoder.tuned(EncoderTuning(kind, rank=2), rest)
    close(encoder.encode(TEXTS), before, "exact")
