from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from feature_store import EventLog
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.user_memory import MemoryConfig
from slow_reference import Event
from stand_in_cuda import stand_in_cuda
from strategies import N_ITEMS, event_log
from tolerances import close
from torch_threads import torch_threads
from training.fitting.fit_match import MATRICES, MatchTrainingConfig, _loss, fit_match
from training.fitting.match_batches import BatchConfig, MatchBatches

DIM = 8
CPU = torch.device("cpu")
CONFIG = MatchTrainingConfig(dropout=0.1, batch=BatchConfig(queries=8, negatives=4))
# Users of 0 or 1 go on to 2, users of 3 go on to 4.
LOG = [
    event for user in range(3) for event in (Event(user, [0, 1, 3][user], 1), Event(user, [2, 2, 4][user], 2 + user))
]


def unit_vectors() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn((N_ITEMS, DIM), generator=torch.Generator().manual_seed(0)), dim=1)


def fitted(steps: int = 40, *, seed: int = 0, log: list[Event] = LOG) -> tuple[MatchModule, list[tuple[int, float]]]:
    generator = torch.Generator().manual_seed(seed)
    module = MatchModule(MatchConfig(dim=DIM, n_heads=2, head_dim=4), generator)
    steps_done: list[tuple[int, float]] = []
    batches = MatchBatches(
        event_log(log), N_ITEMS, until=99, memory=MemoryConfig(recent=4), config=CONFIG.batch, seed=seed
    )
    fit_match(
        module,
        unit_vectors(),
        batches,
        steps=steps,
        config=CONFIG,
        generator=generator,
        on_step=lambda step, loss: steps_done.append((step, loss)),
    )
    return module, steps_done


def test_loss_falls_and_every_step_is_reported() -> None:
    _, steps_done = fitted(120)
    assert [step for step, _ in steps_done] == list(range(1, 121))
    losses = np.array([loss for _, loss in steps_done])
    assert np.isfinite(losses).all()
    assert losses[-20:].mean() < losses[:20].mean() / 3


def test_same_seed_gives_the_same_module() -> None:
    first, second, other = (fitted(10, seed=seed)[0].state_dict() for seed in (3, 3, 4))
    for name, weight in first.items():
        close(second[name], weight, "exact")
    assert not torch.equal(first["query"], other["query"])


def fitted_with(n_threads: int, *, device: torch.device = CPU, learning_rate: float = 1) -> dict[str, torch.Tensor]:
    """The weights after some steps whose sums are large enough for torch to divide them.

    The last bit of a gradient is soon seen in the weights at a high learning rate.
    """
    config = MatchTrainingConfig(learning_rate=learning_rate)
    n_users, n_items, dim = 100, 400, 128
    random = np.random.default_rng(0)
    times = np.repeat(np.arange(20), n_users)
    log = EventLog(
        user_rows=np.tile(np.arange(n_users), 20),
        item_rows=random.integers(n_items, size=len(times)),
        times=times,
        known=times,
        signs=np.ones(len(times), np.int8),
    )
    batches = MatchBatches(
        log, n_items, until=99, memory=MemoryConfig(recent=20), config=BatchConfig(queries=64, negatives=256), seed=0
    )
    generator = torch.Generator().manual_seed(0)
    module = MatchModule(MatchConfig(dim=dim), generator)
    vectors = torch.nn.functional.normalize(torch.randn((n_items, dim), generator=generator), dim=1)
    with torch_threads(n_threads):
        fit_match(
            module,
            vectors,
            batches,
            steps=60,
            config=config,
            generator=generator,
            device=device,
        )
    return module.state_dict()


def test_any_number_of_threads_gives_the_same_module() -> None:
    one, four = fitted_with(1), fitted_with(4)
    for name, weights in one.items():
        close(four[name], weights, "exact")


def test_a_device_gives_the_same_module_again_and_nearly_that_of_the_cpu(device: torch.device) -> None:
    first, second = (fitted_with(1, device=device) for _ in range(2))
    for name, weights in first.items():
        close(second[name], weights, "exact")
    # A high learning rate makes the last bits of a gradient visible; at a low one they stay small.
    there, here = (fitted_with(1, device=on, learning_rate=1e-3) for on in (device, CPU))
    for name, weights in here.items():
        close(there[name], weights, "float32")


def test_a_step_takes_all_that_it_needs_to_the_device() -> None:
    def loss(device: torch.device) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        module = MatchModule(MatchConfig(dim=DIM, n_heads=2, head_dim=4), generator).to(device).train()
        batches = MatchBatches(
            event_log(LOG), N_ITEMS, until=99, memory=MemoryConfig(recent=4), config=CONFIG.batch, seed=0
        )
        with torch.no_grad():
            return _loss(module, unit_vectors(), batches.draw(), CONFIG, generator).cpu()

    expected = loss(CPU)
    with nullcontext() if torch.cuda.is_available() else stand_in_cuda():
        close(loss(torch.device("cuda")), expected, "float32")


def test_a_log_without_examples_leaves_the_module_as_it_was() -> None:
    module, steps_done = fitted(10, log=[Event(0, 0, 1), Event(1, 2, 1)])
    fresh = MatchModule(module.config, torch.Generator().manual_seed(0))
    assert steps_done == []
    for name, weight in fresh.state_dict().items():
        close(module.state_dict()[name], weight, "exact")


def test_module_ends_in_evaluation_mode_with_all_its_parameters_fitted() -> None:
    module, _ = fitted(5)
    fresh = MatchModule(module.config, torch.Generator().manual_seed(0)).state_dict()
    assert not module.training
    moved = {name for name, weight in module.state_dict().items() if not torch.equal(weight, fresh[name])}
    assert moved >= {*MATRICES, "alpha", "gamma", "age", "kind", "sign", "null_logit"}


@pytest.mark.parametrize(("n_examples", "steps"), [(0, 300), (100, 300), (1600, 500), (1601, 501), (10**6, 1000)])
def test_steps_grow_with_the_examples_between_two_bounds(n_examples: int, steps: int) -> None:
    config = MatchTrainingConfig(epochs=20, min_steps=300, max_steps=1000, batch=BatchConfig(queries=64))
    assert config.steps(n_examples) == steps == min(max(math.ceil(20 * n_examples / 64), 300), 1000)
