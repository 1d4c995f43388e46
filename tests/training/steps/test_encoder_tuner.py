from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import training.steps.encoder_tuner
from recmem.text.encoder_tuning import EncoderTuning
from small_tuning import differs, small_config, small_data
from tiny_encoder import tiny_encoder
from tolerances import close
from training.config import TrainingConfig
from training.evaluation.encoder_choice import EncoderChoice, HeldOutFigures, HeldOutPart
from training.fitting.fit_encoder import EncoderFit
from training.fitting.tuning_progress import TuningProgress
from training.progress import Silent
from training.steps.encoder_tuner import EncoderTuner, _has_peaked, held_out_from

TUNED = EncoderChoice(True, "it was told to", 30, 0)
Tensors = dict[str, dict[str, torch.Tensor]]


def tuned(folder: Path, config: TrainingConfig, key: str = "key") -> tuple[EncoderChoice, Tensors]:
    kind = config.tuning.resolved()
    assert kind is not None
    tuning = EncoderTuning(kind, layers=1, rank=2)
    progress = TuningProgress(folder, key)
    return EncoderTuner(small_data(config), config, tiny_encoder(), tuning, progress, Silent()).run()


@pytest.fixture
def always_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldOutPart, "decide", lambda *_: TUNED)


def test_the_held_out_part_is_the_end_of_the_modules_first_period() -> None:
    data = small_data(small_config())
    times = np.sort(data.dataset.log.times)
    first_period = times[times <= data.split.ranker_from]
    begin = held_out_from(data, 0.1)
    share = (first_period > begin).mean()
    # The log has six dates; a date is not cut.
    assert 0.1 <= share <= 0.35
    assert begin < data.split.ranker_from
    assert (first_period == begin).sum() == 0
    assert held_out_from(data, 0.5) < begin


def test_a_frozen_encoder_leaves_no_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = EncoderChoice(False, "no", 30, 0)
    monkeypatch.setattr(HeldOutPart, "decide", lambda *_: frozen)
    choice, tensors = tuned(tmp_path, small_config())
    assert (choice, tensors) == (frozen, {})


def test_too_few_queries_end_it_before_anything_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EncoderFit, "run_step", lambda _: pytest.fail("a step was run"))
    choice, tensors = tuned(tmp_path, small_config(held_out_queries=5))
    assert "fewer than 10 queries" in choice.why
    assert tensors == {}


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run dies in this step, counted over all of its fits."""
    done: list[int] = []
    run_step = EncoderFit.run_step

    def dying(fit: EncoderFit) -> float:
        done.append(1)
        if len(done) == step:
            raise KeyboardInterrupt
        return run_step(fit)

    monkeypatch.setattr(EncoderFit, "run_step", dying)


@pytest.mark.parametrize("kind", ["last", "lora", "adalora"])
@pytest.mark.usefixtures("always_kept")
def test_a_tuning_that_dies_in_any_phase_ends_at_the_same_weights(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(kind)
    _, whole = tuned(tmp_path / "whole", config)
    assert whole.keys() == {"base", "final"}
    assert differs(whole["base"], whole["final"])
    # 12 steps of the first fit, 3 of `base`, 4 of `final`.
    for step in (2, 8, 14, 18):
        with monkeypatch.context() as patched:
            killed_at(step, patched)
            with pytest.raises(KeyboardInterrupt):
                tuned(tmp_path / str(step), config)
        _, resumed = tuned(tmp_path / str(step), config)
        for name, tensors in whole.items():
            assert differs(resumed[name], tensors) == [], (step, name)


@pytest.mark.usefixtures("always_kept")
def test_a_resumed_tuning_does_not_run_its_steps_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config()
    tuned(tmp_path, config)
    monkeypatch.setattr(EncoderFit, "run_step", lambda _: pytest.fail("a step was run again"))
    monkeypatch.setattr(training.steps.encoder_tuner, "fit_match", lambda *_, **__: pytest.fail("fitted again"))
    assert tuned(tmp_path, config)[1].keys() == {"base", "final"}
    with pytest.raises(pytest.fail.Exception, match="fitted again"):
        tuned(tmp_path, config, key="other settings")


def test_a_resumed_tuning_decides_by_the_same_figures_of_the_frozen_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[HeldOutFigures] = []

    def noted(part: HeldOutPart, of_frozen: HeldOutFigures, of_tuned: HeldOutFigures) -> EncoderChoice:
        frozen.append(of_frozen)
        return TUNED

    monkeypatch.setattr(HeldOutPart, "decide", noted)
    with monkeypatch.context() as patched:
        killed_at(2, patched)
        with pytest.raises(KeyboardInterrupt):
            tuned(tmp_path / "killed", small_config())
    assert frozen == []
    tuned(tmp_path / "killed", small_config())
    tuned(tmp_path / "whole", small_config())
    resumed, whole = frozen
    assert len(whole.ranks) >= len(whole.ndcg) > 0
    close(resumed.ranks, whole.ranks, "exact")
    close(resumed.ndcg, whole.ndcg, "exact")


def test_what_comes_out_has_not_seen_what_comes_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldOutPart, "decide", lambda *_: TUNED)
    until: list[tuple[int, bool]] = []
    batches = training.steps.encoder_tuner.MatchBatches

    def noted(*arguments: Any, **named: Any) -> Any:
        until.append((named["until"], named["prefers_recent"]))
        return batches(*arguments, **named)

    monkeypatch.setattr(training.steps.encoder_tuner, "MatchBatches", noted)
    config = small_config()
    tuned(tmp_path, config)
    split = small_data(config).split
    held_from = held_out_from(small_data(config), 0.1)
    assert set(until[:-2]) == {(held_from, False)}
    assert until[-2:] == [(split.ranker_from, True), (split.test_from, True)]


@pytest.mark.usefixtures("always_kept")
def test_the_average_that_is_picked_is_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = []
    for number in range(2):
        monkeypatch.setattr(HeldOutPart, "picked", lambda *_, number=number: number)
        outcomes.append(tuned(tmp_path / str(number), small_config())[1]["base"])
    assert outcomes[0].keys() == outcomes[1].keys()
    assert not all(torch.equal(outcomes[0][name], outcomes[1][name]) for name in outcomes[0])


def test_a_tuning_that_diverges_leaves_the_encoder_frozen(tmp_path: Path) -> None:
    config = small_config("full")
    # Beyond the bounds of the setting, so that it diverges for sure.
    object.__setattr__(config.tuning, "learning_rate", 1e30)
    choice, tensors = tuned(tmp_path, config)
    assert choice.why == "tuning did not converge"
    assert not choice.is_tuned
    assert tensors == {}
    # A resumed run decides the same.
    assert tuned(tmp_path, config)[0] == choice


@pytest.mark.usefixtures("always_kept")
def test_a_loss_that_is_lost_while_carrying_on_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0] * 12)
    run_step = EncoderFit.run_step

    def step(fit: EncoderFit) -> float:
        run_step(fit)
        return next(losses, float("nan"))

    monkeypatch.setattr(EncoderFit, "run_step", step)
    with pytest.raises(ValueError, match="tune_encoder: expected a finite loss, got none in step 1 of 'base'"):
        tuned(tmp_path, small_config())


def test_tuning_stops_when_figures_no_longer_rise() -> None:
    assert not _has_peaked([], 2)
    assert not _has_peaked([(1, 0.2), (2, 0.1)], 2)
    assert _has_peaked([(1, 0.2), (2, 0.1), (3, 0.2)], 2)
    assert not _has_peaked([(1, 0.2), (2, 0.1), (3, 0.21)], 2)
    assert not _has_peaked([(1, 0.1), (2, 0.3), (3, 0.2)], 2)


@pytest.mark.usefixtures("always_kept")
def test_the_best_check_is_taken_and_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([0.5, 0.1])
    taken: list[int] = []

    def given(tuner: EncoderTuner, _: EncoderFit) -> HeldOutFigures:
        queries = tuner._part.queries
        return HeldOutFigures(np.ones(len(queries.positives.values)), np.full(len(queries), next(figures, 0.0)))

    monkeypatch.setattr(EncoderTuner, "_figures", given)
    learned = EncoderFit.learned
    steps_of: dict[int, int] = {}

    def noted(fit: EncoderFit) -> dict[str, torch.Tensor]:
        tensors = learned(fit)
        steps_of[id(tensors["module.query"])] = fit.step
        return tensors

    take_back = EncoderFit.take_back

    def taking(fit: EncoderFit, tensors: dict[str, torch.Tensor]) -> None:
        taken.append(steps_of.get(id(tensors["module.query"]), -1))
        take_back(fit, tensors)

    monkeypatch.setattr(EncoderFit, "learned", noted)
    monkeypatch.setattr(EncoderFit, "take_back", taking)
    tuned(tmp_path, small_config())
    # Once per average, and again by `base`: always the weights of the first check, at step 6 of 12.
    assert taken[:3] == [6, 6, 6]


def test_what_is_beside_events_takes_no_part_in_the_decision(tmp_path: Path) -> None:
    config = small_config()
    memory = replace(config.memory, recent=2)
    plain, _ = tuned(tmp_path / "plain", replace(config, memory=memory))
    wider, _ = tuned(tmp_path / "wider", replace(config, memory=replace(memory, consolidated=2)))
    assert plain.frozen_ndcg > 0
    assert wider == plain
