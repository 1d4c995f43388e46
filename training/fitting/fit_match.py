"""Fits the match module on cached text vectors; the encoder stays as it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from recmem.matching.match_module import MatchModule
from training.fitting.losses import sampled_softmax
from training.fitting.match_batches import BatchConfig, MatchBatches

MATRICES = ("query", "key", "probe", "value", "prior", "null_value")
"""Parameters under weight decay; the few others (biases, signs, ages) are left free."""


@dataclass(frozen=True)
class MatchTrainingConfig:
    """How the match module is fitted."""

    epochs: float = 20.0
    """Passes over the examples, unless `max_steps` ends the fit before."""
    max_steps: int = 800
    """Steps at most: what large logs are given."""
    min_steps: int = 300
    """Steps at least: what small logs are given."""
    learning_rate: float = 1e-2
    """Of AdamW, after a warm-up of 50 steps and down to a twentieth along a cosine."""
    weight_decay: float = 0.05
    """Of the projections."""
    dropout: float = 0.2
    """Share of the text vectors' numbers that the projections do not see in a step."""
    continued: float = 0.35
    """Steps that follow on all up to the test's begin, the recent preferred, as a share of the first fit's."""
    batch: BatchConfig = field(default_factory=BatchConfig)
    """How steps are drawn."""

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
    on_step: Callable[[int, float], None] | None = None,
) -> None:
    """Trains `module` in place on `steps` steps, or not at all where there is no example.

    `on_step` is told each step's number (from 1) and loss.

    `vectors` are the items' unit text vectors, on the module's device.
    """
    if not batches.n_examples:
        return
    optimizer = _optimizer(module, config)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, steps))
    module.train()
    for step in range(1, steps + 1):
        batch = batches.draw()
        seen, rows = torch.unique(torch.cat([batch.slots.rows, batch.candidates]), return_inverse=True)
        slots, candidates = batch.slots.moved_to(rows[: len(batch.slots.rows)]), rows[len(batch.slots.rows) :]
        unit = vectors[seen]
        keep = torch.rand(unit.shape, generator=generator) >= config.dropout
        tables = module.tables(unit, dropped=unit * keep / (1 - config.dropout))
        scores = module(tables, slots, candidates)
        loss = sampled_softmax(scores, batch.positives, batch.excluded, batch.log_draws)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(step, float(loss.detach()))
    module.eval()


def _optimizer(module: MatchModule, config: MatchTrainingConfig) -> torch.optim.Optimizer:
    matrices = [parameter for name, parameter in module.named_parameters() if name in MATRICES]
    others = [parameter for name, parameter in module.named_parameters() if name not in MATRICES]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _pace(step: int, steps: int) -> float:
    warm_up = min(1.0, (step + 1) / 50)
    return warm_up * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
