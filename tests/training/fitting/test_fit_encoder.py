from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from recmem.kernels import match_scores
from recmem.matching.match_module import MatchModule
from recmem.text.encoder_tuning import tuned_tensors
from small_tuning import differs, small_config, small_data, small_fit
from tolerances import close
from training.fitting.fit_encoder import LEARNING_RATES, EncoderFit, EncoderTuningConfig, averaged, under
from training.fitting.losses import sampled_softmax

KINDS = ["last", "full", "lora", "adalora", "ia3", "prefix"]


def naive_gradients(fit: EncoderFit) -> dict[str, torch.Tensor]:
    """Of the loss without dropout, every slot's and every candidate's text encoded for itself, by autograd alone."""
    batch = fit._batches.draw()
    texts = [*batch.slots.rows.tolist(), *batch.candidates.tolist()]
    frozen = fit._frozen[torch.tensor(texts)]
    tuned = torch.cat([fit.texts.encode(torch.tensor([text])) for text in texts])
    n_slots = len(batch.slots.rows)
    slots = batch.slots.moved_to(torch.arange(n_slots))
    tables = fit.module.tables(torch.cat([frozen, tuned], dim=1))
    bias, sign = fit.module.slot_terms(slots)
    scores = match_scores(
        tables, slots.rows, slots.memory_index, bias, sign, torch.arange(n_slots, len(texts)), slots.n_memories
    )
    sampled_softmax(scores, batch.positives, batch.excluded, batch.log_draws).backward()
    return gradients_of(fit)


def gradients_of(fit: EncoderFit) -> dict[str, torch.Tensor]:
    named = [*fit.module.named_parameters(), *fit.texts.model.named_parameters()]
    return {name: weight.grad.clone() for name, weight in named if weight.requires_grad and weight.grad is not None}


@pytest.mark.parametrize(("kind", "chunk_tokens"), [("full", None), ("full", 8), ("last", None), ("last", 8)])
def test_the_gradient_is_that_of_encoding_every_slot_and_candidate_for_itself(
    kind: str, chunk_tokens: int | None
) -> None:
    config = small_config(kind, text_dropout=0.0, pull=0.0)
    config = replace(config, match=replace(config.match, dropout=0.0))
    data = small_data(config)
    naive = naive_gradients(small_fit(data, config))
    fit = small_fit(data, config, chunk_tokens=chunk_tokens)
    fit.module.train()
    batch = fit._batches.draw()
    n_distinct = len(torch.unique(torch.cat([batch.slots.rows, batch.candidates])))
    assert n_distinct < len(batch.slots.rows) + len(batch.candidates)
    fit._loss(batch).backward()
    ours = gradients_of(fit)
    assert ours.keys() == naive.keys()
    assert len(ours) > 16
    for name, gradient in naive.items():
        assert (ours[name] - gradient).abs().max() <= 1e-3 * gradient.abs().max() + 1e-6, name


def run(fit: EncoderFit, steps: int) -> list[float]:
    return [fit.run_step() for _ in range(steps)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_that_goes_on_from_its_state_gives_the_weights_of_one_that_was_never_cut(kind: str) -> None:
    config = small_config(kind)
    data = small_data(config)
    whole = small_fit(data, config)
    run(whole, 12)
    cut = small_fit(data, config)
    run(cut, 5)
    tensors, facts = cut.state()
    resumed = small_fit(data, config)
    resumed.restore(tensors, facts)
    assert resumed.step == 5
    run(resumed, 7)
    assert differs(resumed.learned(), whole.learned()) == []
    assert differs(cut.learned(), whole.learned()) != []


@pytest.mark.parametrize("kind", KINDS)
def test_module_and_encoder_both_learn_and_the_loss_falls(kind: str) -> None:
    config = small_config(kind)
    fit = small_fit(small_data(config), config, steps=60)
    before = fit.learned()
    losses = run(fit, 60)
    assert sum(losses[-10:]) < sum(losses[:10])
    moved = differs(fit.learned(), before)
    assert {name.split(".")[0] for name in moved} == {"module", "encoder"}
    n_tuned = len(tuned_tensors(fit.texts.model))
    # A key's bias shifts all logits of a query alike, so an encoder's may stay where it is but for rounding.
    assert len([name for name in moved if name.startswith("encoder.")]) > 0.5 * n_tuned


def test_the_projections_read_both_vectors_and_cosines_the_frozen_one() -> None:
    config = small_config()
    data = small_data(config)
    fit = small_fit(data, config)
    run(fit, 12)
    vectors = fit.vectors()
    dim = data.unit.shape[1]
    close(vectors[:, :dim], data.unit, "exact")
    assert (vectors[:, dim:] - data.unit).abs().max() > 0.01
    tables = fit.module.tables(vectors)
    close(tables.unit, data.unit, "exact")
    whole = MatchModule(config.match_config(2 * dim), torch.Generator().manual_seed(0))
    close(whole.tables(vectors).unit, vectors, "exact")


def test_a_strong_pull_keeps_the_vectors_near_the_frozen_ones() -> None:
    distances = []
    for pull in (0.0, 100.0):
        config = small_config("full", pull=pull)
        data = small_data(config)
        fit = small_fit(data, config, steps=30)
        run(fit, 30)
        distances.append(float(1 - (fit.texts.encode_all() * data.unit).sum(1).mean()))
    assert distances[1] < distances[0] / 2


def test_with_all_texts_dropped_the_encoder_learns_nothing_but_decay() -> None:
    config = small_config("full", text_dropout=1.0, pull=0.0, weight_decay=0.0)
    fit = small_fit(small_data(config), config)
    before = fit.learned()
    run(fit, 6)
    moved = differs(fit.learned(), before)
    assert moved
    assert all(name.startswith("module.") for name in moved)


def test_taking_back_puts_module_and_encoder_where_they_were() -> None:
    config = small_config()
    fit = small_fit(small_data(config), config)
    run(fit, 3)
    learned = fit.learned()
    run(fit, 3)
    assert differs(fit.learned(), learned)
    fit.take_back(learned)
    assert differs(fit.learned(), learned) == []


def test_averages_lie_between_the_frozen_and_the_tuned_weights() -> None:
    frozen = {"a": torch.zeros(3)}
    tuned = {"a": torch.tensor([1.0, 2.0, 4.0])}
    close(averaged(frozen, tuned, 1.0)["a"], tuned["a"], "exact")
    close(averaged(frozen, tuned, 0.25)["a"], torch.tensor([0.25, 0.5, 1.0]), "exact")
    assert under({"a.b": torch.ones(1), "b": torch.ones(1)}, "a.").keys() == {"b"}


def test_auto_is_off_without_a_gpu_and_full_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert EncoderTuningConfig().resolved() is None
    assert EncoderTuningConfig(kind="last").resolved() == "last"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert EncoderTuningConfig().resolved() == "full"
    assert EncoderTuningConfig(kind="off").resolved() is None
    assert set(LEARNING_RATES) == set(KINDS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "some"}, "kind: expected one of auto, off, last, lora"),
        ({"text_dropout": 1.5}, r"text_dropout: expected 0 to 1, got 1\.5"),
        ({"held_out": 0.9}, r"held_out: expected 0 to 0\.5, got 0\.9"),
        ({"averages": ()}, "averages: expected a list of 1 or more numbers, each more than 0 and at most 1, got"),
        ({"averages": (0.5, 2.0)}, r"averages: expected .*, got \[0\.5, 2\.0\]"),
        ({"patience": 0}, "patience: expected 1 to 1,000, got 0"),
        ({"chunk_tokens": 0}, "chunk_tokens: expected 1 to .*, got 0"),
        ({"learning_rate": 0.0}, r"learning_rate: expected more than 0 and at most 10, got 0\.0"),
        ({"pull": -1.0}, r"pull: expected 0 to 1,000,000, got -1\.0"),
        ({"weight_decay": float("nan")}, "weight_decay: expected 0 to 100, got nan"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderTuningConfig(**changes)
