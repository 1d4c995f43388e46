from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from recmem.text.encoder_tuning import EncoderTuning
from tiny_encoder import tiny_encoder
from tolerances import close
from training.fitting.tuned_texts import LAYER_TOKENS, TunedTexts, layer_tokens

TEXTS = ["curl", "gtk image library for cairo", "sound codec of alsa", "tls", "file encoding for audio client url", ""]
ROWS = torch.tensor([4, 0, 3, 1])


def texts_of(kind: Any, *, chunk_tokens: int | None = None, max_tokens: int = 32) -> TunedTexts:
    tuning = EncoderTuning(kind, layers=1, rank=2)
    return TunedTexts(tiny_encoder(), tuning, TEXTS, max_tokens=max_tokens, chunk_tokens=chunk_tokens)


@pytest.mark.parametrize("kind", ["full", "lora", "ia3"])
def test_before_the_first_step_the_vectors_are_the_encoders(kind: str) -> None:
    texts = texts_of(kind)
    expected = tiny_encoder().encode(TEXTS)
    close(texts.encode_all(), expected, "float32")
    close(texts.encode(ROWS).detach(), expected[ROWS], "float32")
    assert len(texts) == len(TEXTS)


def gradients(texts: TunedTexts) -> dict[str, torch.Tensor]:
    weights = torch.rand((len(ROWS), 16), generator=torch.Generator().manual_seed(0))
    (texts.encode(ROWS) * weights).sum().backward()
    return {
        name: weight.grad.clone()
        for name, weight in texts.model.named_parameters()
        if weight.requires_grad and weight.grad is not None
    }


@pytest.mark.parametrize("kind", ["full", "last", "lora", "adalora", "ia3", "prefix"])
def test_chunks_of_one_text_give_the_gradient_of_one_chunk(kind: str) -> None:
    whole = gradients(texts_of(kind))
    chunked = gradients(texts_of(kind, chunk_tokens=1))
    assert whole
    assert whole.keys() == chunked.keys()
    for name, gradient in whole.items():
        assert (chunked[name] - gradient).abs().max() <= 1e-4 * gradient.abs().max() + 1e-6, name


def test_a_chunk_is_encoded_again_in_the_backward_pass_and_one_chunk_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk_tokens, expected in ((1, 2 * len(ROWS)), (10_000, 1)):
        texts = texts_of("full", chunk_tokens=chunk_tokens)
        passes: list[int] = []
        texts.model.embeddings.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        texts.encode(ROWS).sum().backward()
        assert len(passes) == expected


def test_texts_are_cut_to_the_tokens_of_tuning_with_the_tokenizers_end() -> None:
    texts = texts_of("full", max_tokens=4)
    assert max(map(len, texts._tokens)) == 4
    whole = tiny_encoder().tokenize(TEXTS)
    assert texts._tokens[1] == [*whole[1][:3], whole[1][-1]]
    assert texts._tokens[0] == whole[0]


def test_what_is_kept_for_the_backward_pass_fits_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = 80e9
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=memory))
    assert layer_tokens(torch.device("cuda"), 384) == 801_282
    memory = 16e9
    assert layer_tokens(torch.device("cuda"), 1024) == 60_096
    assert layer_tokens(torch.device("cpu"), 384) == LAYER_TOKENS
