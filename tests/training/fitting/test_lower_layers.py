from __future__ import annotations

import pytest
import torch

import training.fitting.lower_layers
from recmem.text.encoder_tuning import EncoderTuning, tunable
from recmem.text.token_batches import pad_tokens
from tiny_encoder import DIM, LAYERS, tiny_encoder
from tolerances import close
from training.fitting.lower_layers import LowerLayers

TEXTS = ["curl", "gtk image library for cairo", "sound codec of alsa", "tls", "file encoding for audio client url"]


@pytest.mark.parametrize("n_tuned", [1, 2])
@pytest.mark.parametrize("memory_bytes", [1 << 20, 0])
def test_the_model_gives_the_same_from_kept_hidden_states_as_from_tokens(n_tuned: int, memory_bytes: int) -> None:
    encoder = tiny_encoder()
    tokens = encoder.tokenize(TEXTS)
    model = tunable(encoder.model, EncoderTuning("last", layers=n_tuned))
    rows = [3, 1, 4]
    ids, mask = pad_tokens([tokens[row] for row in rows], pad_id=0)
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state[mask]
        lower = LowerLayers(model, n_tuned, tokens, pad_id=0, memory_bytes=memory_bytes)
        lower.give(rows, mask, torch.device("cpu"))
        got = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state[mask]
    assert lower.is_in_memory == (memory_bytes > 0)
    # Hidden states are kept in float16.
    assert (got - expected).abs().max() < 0.01
    assert (got - expected).abs().max() > 0


def test_lower_layers_are_run_once_per_text_and_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny_encoder()
    tokens = encoder.tokenize(TEXTS)
    model = tunable(encoder.model, EncoderTuning("last", layers=1))
    calls: list[int] = []
    model.encoder.layer[0].attention.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setattr(training.fitting.lower_layers, "_BATCH_TOKENS", {"cpu": 12})
    done: list[int] = []
    lower = LowerLayers(model, 1, tokens, pad_id=0, on_text=done.append)
    n_batches = len(calls)
    assert n_batches > 1
    assert sum(done) == len(TEXTS)
    ids, mask = pad_tokens(tokens, pad_id=0)
    lower.give(range(len(TEXTS)), mask, torch.device("cpu"))
    model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.sum().backward()
    assert len(calls) == n_batches
    trained = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert trained
    assert all(name.startswith(f"encoder.layer.{LAYERS - 1}.") for name in trained)


def test_hidden_states_depend_on_their_own_text_alone() -> None:
    encoder = tiny_encoder()
    model = tunable(encoder.model, EncoderTuning("last", layers=1))
    tokens = encoder.tokenize(TEXTS)
    lower = LowerLayers(model, 1, tokens, pad_id=0)
    alone = tiny_encoder()
    single = LowerLayers(tunable(alone.model, EncoderTuning("last", layers=1)), 1, tokens[1:2], pad_id=0)
    mask = torch.ones(1, len(tokens[1]), dtype=torch.bool)
    lower.give([1], mask, torch.device("cpu"))
    single.give([0], mask, torch.device("cpu"))
    assert lower._given is not None
    assert single._given is not None
    assert lower._given.shape == (1, len(tokens[1]), DIM)
    assert (lower._given - single._given).abs().max() < 0.01


def test_hidden_states_beyond_float16_are_refused() -> None:
    encoder = tiny_encoder()
    model = tunable(encoder.model, EncoderTuning("last", layers=1))
    with torch.no_grad():
        model.encoder.layer[1].output.LayerNorm.weight.fill_(1e6)
    with pytest.raises(ValueError, match=r"float16's range, got larger ones\. Tune with 'full' or 'lora'"):
        LowerLayers(model, 1, encoder.tokenize(TEXTS), pad_id=0)


def test_a_layer_that_returns_a_tuple_is_skipped_as_one() -> None:
    hidden = torch.rand(1, 2, 3)
    close(training.fitting.lower_layers._skip(hidden, gives_tuples=False), hidden, "exact")
    close(training.fitting.lower_layers._skip(hidden, None, mask=None, gives_tuples=True)[0], hidden, "exact")
