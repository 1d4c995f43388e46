from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
import torch
from torch import nn

from recmem.text.encoder_tuning import (
    EncoderTuning,
    layers_of,
    load_tuned_tensors,
    tunable,
    tuned_fingerprint,
    tuned_tensors,
    with_tensors,
)
from tiny_encoder import LAYERS, tiny_encoder
from tolerances import close

TEXTS = ["curl client library", "sound codec", "gtk image file for cairo", ""]
KINDS = ["last", "full", "lora", "adalora", "ia3", "prefix"]
ADAPTERS = ["lora", "adalora", "ia3", "prefix"]


def tuning_of(kind: Any) -> EncoderTuning:
    return EncoderTuning(kind, layers=1, rank=4)


def moved(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator) for name, tensor in tensors.items()}


def learned(kind: str) -> dict[str, torch.Tensor]:
    """Tensors as a tuning might leave them."""
    return moved(tuned_tensors(tunable(tiny_encoder().model, tuning_of(kind))))


@pytest.mark.parametrize("kind", ["last", "full", "lora", "adalora", "ia3"])
def test_preparing_an_encoder_changes_none_of_its_vectors(kind: str) -> None:
    encoder = tiny_encoder()
    before = encoder.encode(TEXTS)
    encoder.model = tunable(encoder.model, tuning_of(kind))
    close(encoder.encode(TEXTS), before, "float32")


@pytest.mark.parametrize("kind", KINDS)
def test_a_tuned_encoder_gives_the_vectors_of_the_model_that_learned(kind: str) -> None:
    encoder = tiny_encoder()
    tuning = tuning_of(kind)
    learner = tiny_encoder()
    learner.model = tunable(learner.model, tuning)
    load_tuned_tensors(learner.model, learned(kind))
    tuned = encoder.tuned(tuning, tuned_tensors(learner.model))
    close(tuned.encode(TEXTS), learner.encode(TEXTS), "float32")
    # The frozen one stays what it was, and is another space.
    close(encoder.encode(TEXTS), tiny_encoder().encode(TEXTS), "exact")
    assert tuned.fingerprint != encoder.fingerprint
    assert (tuned.encode(TEXTS) - encoder.encode(TEXTS)).abs().max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_tuned_has_a_gradient_and_all_of_that_has_one(kind: str) -> None:
    encoder = tiny_encoder()
    model = tunable(encoder.model, tuning_of(kind))
    ids = torch.tensor([encoder.tokenize(["curl client library"])[0]])
    model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.square().sum().backward()
    with_gradient = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert with_gradient == tuned_tensors(model).keys()
    assert not any("pooler" in name for name in with_gradient)


def test_last_tunes_the_last_layers_and_full_all_layers_and_embeddings() -> None:
    last = tuned_tensors(tunable(tiny_encoder().model, EncoderTuning("last", layers=2)))
    assert {name.split(".")[2] for name in last} == {"1", "2"}
    full = tuned_tensors(tunable(tiny_encoder().model, EncoderTuning("full")))
    assert last.keys() < full.keys()
    assert "embeddings.word_embeddings.weight" in full


@pytest.mark.parametrize("kind", ["last", "lora", "prefix"])
def test_tensors_of_another_tuning_are_refused_in_words(kind: str) -> None:
    tuning = tuning_of(kind)
    tensors = learned(kind)
    name = sorted(tensors)[0]

    def refused(changed: dict[str, torch.Tensor], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            with_tensors(tiny_encoder().model, tuning, changed)

    missing = {key: tensor for key, tensor in tensors.items() if key != name}
    refused(missing, f"encoder: expected the {len(tensors)} tensors of this tuning, got {len(missing)}")
    refused(tensors | {"encoder.secret": torch.zeros(1)}, "encoder.secret.* missing or too many")
    refused(tensors | {name: tensors[name][:1]}, f"encoder.{name}: expected a float32 tensor of shape")
    refused(tensors | {name: tensors[name].double()}, "expected a float32 tensor of shape .* got torch.float64")
    refused(tensors | {name: torch.full_like(tensors[name], torch.nan)}, "expected finite numbers, got NaN")


def test_a_refused_dict_leaves_the_model_as_it_was() -> None:
    model = tunable(tiny_encoder().model, tuning_of("last"))
    before = tuned_tensors(model)
    broken = moved(before)
    broken[sorted(broken)[-1]] = torch.full((3,), torch.inf)
    with pytest.raises(ValueError, match="Train again"):
        load_tuned_tensors(model, broken)
    for name, tensor in tuned_tensors(model).items():
        close(tensor, before[name], "exact")


def test_fingerprint_names_encoder_tuning_and_every_number() -> None:
    tensors = learned("last")
    tuning = tuning_of("last")
    first = tuned_fingerprint("a" * 16, tuning, tensors)
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    exact = {name: half.float() for name, half in halves.items()}
    assert tuned_fingerprint("a" * 16, tuning, halves) == tuned_fingerprint("a" * 16, tuning, exact)
    assert first == tuned_fingerprint("a" * 16, tuning, dict(reversed(copy.deepcopy(tensors).items())))
    assert len(first) == 16
    assert int(first, 16) > 0
    name = sorted(tensors)[0]
    changed = tensors | {name: tensors[name] + 1e-6}
    others = [
        tuned_fingerprint("b" * 16, tuning, tensors),
        tuned_fingerprint("a" * 16, EncoderTuning("last", layers=1, rank=8), tensors),
        tuned_fingerprint("a" * 16, tuning, changed),
    ]
    assert len({first, *others}) == 4


@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_begin_at_the_same_numbers_whatever_was_drawn_before(kind: str) -> None:
    first = tuned_tensors(tunable(tiny_encoder().model, tuning_of(kind)))
    torch.rand(17)
    state = torch.get_rng_state()
    second = tuned_tensors(tunable(tiny_encoder().model, tuning_of(kind)))
    close(torch.get_rng_state(), state, "exact")  # nothing of the caller's generator is used up
    for name, tensor in first.items():
        close(second[name], tensor, "exact")


@pytest.mark.parametrize("kind", ADAPTERS)
def test_without_the_extra_the_way_to_install_it_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"pip install 'recmem\[peft\]'"):
        tunable(tiny_encoder().model, tuning_of(kind))
    tunable(tiny_encoder().model, tuning_of("full"))


def test_an_encoder_without_layers_and_one_with_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="encoder: expected a list of layers, got none in Linear"):
        layers_of(nn.Linear(2, 2))
    name, layers = layers_of(tiny_encoder().model)
    assert (name, len(layers)) == ("encoder.layer", LAYERS)
    with pytest.raises(ValueError, match="layers: expected at most the encoder's 3, got 4"):
        tunable(tiny_encoder().model, EncoderTuning("last", layers=4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "half"}, "kind: expected one of last, lora, adalora, ia3, prefix, full, got 'half'"),
        ({"layers": 0}, "layers: expected 1 to 1,000, got 0"),
        ({"rank": True}, r"rank: expected a whole number \(1 to 4,096\), got true"),
        ({"rank": 2.0}, r"rank: expected a whole number \(1 to 4,096\), got 2\.0"),
    ],
)
def test_a_wrong_tuning_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderTuning(**changes)
