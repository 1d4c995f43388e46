"""Fits the match module on cached text vectors; the encoder itself is not trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from feature_store.settings import check_settings, setting
from recmem.matching.match_module import MatchModule
from recmem.pipelining import ahead
from recmem.text.torch_device import sent
from training.fitting.impression_batches import ImpressionBatches
from training.fitting.losses import sampled_softmax
from training.fitting.match_batches import Batch, BatchConfig, MatchBatches
from training.fitting.one_thread import one_torch_thread
from training.training_device import training_device

MATRICES = ("query", "key", "probe", "value", "prior", "null_value")
"""Parameters under weight decay; the few others (biases, signs, ages) go without."""
WARM_UP_STEPS = 50
FINAL_RATE = 0.05
"""The last step's learning rate, as a share of the highest."""


@dataclass(frozen=True)
class MatchTrainingConfig:
    """How the match module is fitted."""

    epochs: float = setting(20.0, above=0, high=10_000)
    """Passes over the examples, within the bounds of `min_steps` and `max_steps`."""
    max_steps: int = setting(800, low=1, high=10_000_000)
    """Upper bound on the steps, which large logs reach."""
    min_steps: int = setting(300, low=1, high=10_000_000)
    """Lower bound on the steps, for small logs."""
    learning_rate: float = setting(1e-2, above=0, high=10)
    """Learning rate of AdamW at its highest: after a warm-up of 50 steps, before a cosine decay to a twentieth."""
    weight_decay: float = setting(0.05, low=0, high=100)
    """Weight decay of the projections."""
    dropout: float = setting(0.2, low=0, below=1)
    """Share of the text vectors' numbers that are hidden from the projections in a step."""
    continued: float = setting(0.35, low=0, high=100)
    """Steps of the second fit, on all up to the test with recent queries preferred, as a share of the first fit's."""
    batch: BatchConfig = field(default_factory=BatchConfig)
    """How the queries and candidates of a step are drawn."""
    impressions: float = setting(0.0, low=0, high=1000)
    """What the loss on impressions, a softmax over the items that one shows, weighs beside the loss on the log's
    events. 0 learns from events alone, and so do trainings that debias positions, and `recmem features`. Off by
    default: on the one log that was tried the match gained little and the ranker lost (docs/log.md)."""
    impression_queries: int = setting(16, low=1, high=100_000)
    """Impressions of a step."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if self.min_steps > self.max_steps:
            yield f"min_steps: expected at most max_steps ({self.max_steps}), got {self.min_steps}. Lower it."

    def steps(self, n_examples: int) -> int:
        """Steps for a log of this many examples."""
        wanted = math.ceil(self.epochs * n_examples / self.batch.queries)
        return max(min(wanted, self.max_steps), self.min_steps)


def fit_match(
    module: MatchModule,
    vectors: Float[Tensor, "item dim"],
    batches: MatchBatches,
    *,
    steps: int,
    config: MatchTrainingConfig,
    generator: torch.Generator,
    impressions: ImpressionBatches | None = None,
    on_step: Callable[[int, float], None] | None = None,
    device: torch.device | None = None,
) -> None:
    """Trains `module`, which is on the CPU, in place for `steps` steps, or leaves it as it is without examples.

    `vectors` are the items' unit text vectors. With `impressions`, each step learns from some of them too, see
    `MatchTrainingConfig.impressions`. `on_step` is called with each step's number (from 1) and loss. `device`: where
    it is computed, by default as `training_device` says. What is drawn depends on the seeds alone, not on the device.
    """
    if not batches.n_examples:
        return
    module.to(device or training_device())
    optimizer = _optimizer(module, config)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_share(step, steps))
    module.train()
    with one_torch_thread(), closing(ahead(_drawn(batches, impressions, steps))) as drawn:
        for step, (batch, shown) in enumerate(drawn, start=1):
            loss = _loss(module, vectors, batch, config, generator)
            if shown is not None:
                loss = loss + config.impressions * _loss(module, vectors, shown, config, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if on_step is not None:
                on_step(step, float(loss.detach()))
    module.cpu().eval()


def _drawn(
    batches: MatchBatches, impressions: ImpressionBatches | None, steps: int
) -> Generator[tuple[Batch, Batch | None], None, None]:
    """What each step learns from: queries of the log, and impressions if there are any."""
    for _ in range(steps):
        yield batches.draw(), None if impressions is None else impressions.draw()


def _loss(
    module: MatchModule,
    vectors: Float[Tensor, "item dim"],
    batch: Batch,
    config: MatchTrainingConfig,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    device = module.key.device
    texts, roles, step = batch.over_its_texts(device)
    # The catalogue stays on the CPU, and only this step's texts go to the device: [text of the step, dim].
    unit = sent(batch.slots.vectors_of(vectors, texts), device)
    # Dropout that depends on the generator alone; the cosine between texts is computed without it.
    keep = torch.rand(unit.shape, generator=generator) >= config.dropout
    dropped = unit * sent(keep, device) / (1 - config.dropout)
    tables = module.tables(unit, dropped=dropped, roles=roles)
    scores = module(tables, step.slots, step.candidates)  # [query, cand]
    return sampled_softmax(scores, step.positives, step.excluded, step.log_draws, step.weights)


def _optimizer(module: MatchModule, config: MatchTrainingConfig) -> torch.optim.Optimizer:
    matrices, others = matrices_and_others(module)
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def matrices_and_others(module: MatchModule) -> tuple[list[Parameter], list[Parameter]]:
    """The parameters under weight decay, and those without."""
    matrices = [parameter for name, parameter in module.named_parameters() if name in MATRICES]
    others = [parameter for name, parameter in module.named_parameters() if name not in MATRICES]
    return matrices, others


def rate_share(step: int, steps: int) -> float:
    """The learning rate of the step after `step` of `steps` steps, as a share of the highest.

    It rises linearly over `WARM_UP_STEPS` steps and falls along a cosine to `FINAL_RATE`.
    """
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps)))
