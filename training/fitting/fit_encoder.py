"""Fits the text encoder and a match module together, on the match module's loss.

The module reads the frozen vector of a text and the tuned one side by side; cosines stay the frozen ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from feature_store.settings import check_settings, setting, setting_like
from recmem.matching.match_module import MatchModule
from recmem.text.encoder_tuning import EncoderTuning, TuningKind, load_tuned_tensors, tuned_tensors
from training.fitting.fit_match import MatchTrainingConfig, matrices_and_others, rate_share
from training.fitting.losses import sampled_softmax
from training.fitting.match_batches import Batch, MatchBatches
from training.fitting.rank_budget import RankBudget
from training.fitting.tuned_texts import TunedTexts

LEARNING_RATES: dict[str, float] = {
    "full": 5e-5,
    "last": 3e-4,
    "lora": 5e-4,
    "adalora": 2e-3,
    "ia3": 5e-3,
    "prefix": 5e-3,
}
"""Of the encoder, by kind of tuning. Adapters learn few numbers, which begin at zero, and take higher ones."""
_BY_KIND = ", ".join(f"{rate:g} for {kind}" for kind, rate in LEARNING_RATES.items())


@dataclass(frozen=True)
class EncoderTuningConfig:
    """Whether the text encoder is tuned, and how."""

    kind: Literal["auto", "off"] | TuningKind = setting("auto")
    """What of the encoder is tuned, if that pays on a held-out part of the log: nothing (`off`), its last layers
    (`last`), adapters (`lora`, `adalora`, `ia3`, `prefix`, with the extra `peft`) or all of it (`full`). `auto`: `full`
    where there is a CUDA device, else `off`."""
    layers: int = setting_like(EncoderTuning, "layers", 1)
    """Layers that `last` tunes."""
    rank: int = setting_like(EncoderTuning, "rank", 16)
    """Rank of `lora` and `adalora`; of `prefix`, its tokens."""
    max_tokens: int = setting(64, low=1, high=1_000_000)
    """Texts are cut to this many tokens while tuning; the tuned encoder cuts them at its own limit."""
    max_steps: int = setting(800, low=1, high=10_000_000)
    """Upper bound on the steps of the first fit, beside those of `[match]`."""
    learning_rate: float | None = setting(None, above=0, high=10, automatic=_BY_KIND, remedy="Try 1e-4.")
    """Learning rate of the encoder at its highest, after the warm-up."""
    weight_decay: float = setting(0.01, low=0, high=100)
    """Weight decay of the encoder's tuned weights."""
    clip: float = setting(1.0, low=0, high=1e6)
    """Largest norm of the encoder's gradient."""
    text_dropout: float = setting(0.1, low=0, high=1)
    """Share of a step's texts whose tuned vector is replaced by the frozen one."""
    pull: float = setting(0.1, low=0, high=1e6)
    """Weight of 1 - cos(tuned, frozen), the mean over a step's texts, in the loss."""
    averages: tuple[float, ...] = setting((1.0, 0.5), above=0, high=1, fewest=1)
    """Shares of the way from the frozen weights to the tuned ones that are tried on the held-out part."""
    held_out: float = setting(0.1, low=0, high=0.5)
    """Share of the events of the match module's first period, the last ones, which decide whether the tuned encoder is
    kept."""
    held_out_queries: int = setting(1000, low=1, high=10_000_000)
    """Queries of that part, at most; evenly spread."""
    checks: int = setting(4, low=1, high=1000)
    """How often the tuned encoder is measured there while it learns."""
    patience: int = setting(2, low=1, high=1000)
    """Tuning stops after this many checks in a row without a better figure."""
    carried: float = setting(0.25, low=0, high=1)
    """Steps over the held-out part, once it has decided, as a share of the first fit's."""
    chunk_tokens: int | None = setting(None, low=1, high=1_000_000_000, automatic="by device")
    """Tokens that are encoded at once while tuning; fewer take less memory."""
    save_every: int = setting(50, low=1, high=10_000_000)
    """Steps between two checkpoints, from which a killed tuning goes on."""

    def __post_init__(self) -> None:
        check_settings(self)

    def resolved(self) -> TuningKind | None:
        """The kind on this machine; None if the encoder is not tuned."""
        if self.kind == "auto":
            return "full" if torch.cuda.is_available() else None
        return None if self.kind == "off" else self.kind

    def tuning(self, kind: TuningKind) -> EncoderTuning:
        """What is tuned."""
        return EncoderTuning(kind, layers=self.layers, rank=self.rank)


class EncoderFit:
    """A match module and an encoder in training, step by step; `state` has all that a checkpoint must hold."""

    def __init__(
        self,
        module: MatchModule,
        texts: TunedTexts,
        frozen: Float[Tensor, "item dim"],
        batches: MatchBatches,
        *,
        steps: int,
        match: MatchTrainingConfig,
        config: EncoderTuningConfig,
        seed: int,
        is_first: bool = True,
    ) -> None:
        """`module` and the encoder of `texts` are trained in place; `frozen` are the unit vectors to begin with.

        `is_first`: AdaLoRA chooses its ranks in the first fit, and later ones keep them.
        """
        self.module = module
        self.texts = texts
        self.steps = steps
        self.step = 0
        """Steps done so far."""
        self._frozen = frozen
        self._batches = batches
        self._match = match
        self._config = config
        self._generator = torch.Generator().manual_seed(seed)
        self._encoder_weights = [weight for weight in texts.model.parameters() if weight.requires_grad]
        self._optimizer = self._new_optimizer()
        self._budget = None
        if texts.tuning.kind == "adalora":
            self._budget = RankBudget(texts.model, steps, drops=is_first)

    def run_step(self) -> float:
        """One step of both; its loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = group["highest"] * rate_share(self.step, self.steps)
        self.module.train()
        loss = self._loss(self._batches.draw())
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._encoder_weights, self._config.clip)
        self._optimizer.step()
        self.step += 1
        if self._budget is not None:
            self._budget.after_step(self.step)
        self.module.eval()
        return float(loss.detach())

    def _loss(self, batch: Batch) -> Float[Tensor, ""]:
        device = self.texts.device
        # The text of each item once, whatever number of memories and candidates the item stands in.
        items, roles, step = batch.over_its_texts(device)
        frozen = self._frozen[items].to(device)
        tuned = self.texts.encode(items)
        pull = 1 - (tuned * frozen).sum(1).mean()
        stays_frozen = torch.rand(len(items), generator=self._generator) < self._config.text_dropout
        tuned = torch.where(stays_frozen.to(device)[:, None], frozen, tuned)
        vectors = torch.cat([frozen, tuned], dim=1)  # [text of the step, 2 * dim]
        keep = torch.rand(vectors.shape, generator=self._generator) >= self._match.dropout
        dropped = vectors * keep.to(device) / (1 - self._match.dropout)
        tables = self.module.tables(vectors, dropped=dropped, roles=roles)
        scores = self.module(tables, step.slots, step.candidates)
        loss = sampled_softmax(scores, step.positives, step.excluded, step.log_draws, step.weights)
        loss = loss + self._config.pull * pull
        return loss if self._budget is None else loss + self._budget.penalty()

    def vectors(self) -> Float[Tensor, "item dim"]:
        """Frozen and tuned vectors of all texts side by side, as the module reads them."""
        return torch.cat([self._frozen.to(self.texts.device), self.texts.encode_all()], dim=1)

    def learned(self) -> dict[str, Tensor]:
        """Copies of what both have learned so far, for `take_back`: names begin with `module.` or `encoder.`."""
        module = {f"module.{name}": tensor.detach().cpu().clone() for name, tensor in self.module.state_dict().items()}
        return module | {f"encoder.{name}": tensor for name, tensor in tuned_tensors(self.texts.model).items()}

    def take_back(self, learned: Mapping[str, Tensor]) -> None:
        """Puts both where they were when `learned` was taken; optimizer and generators stay."""
        self.module.load_state_dict(under(learned, "module."))
        load_tuned_tensors(self.texts.model, under(learned, "encoder."))
        if self._budget is not None:
            self._budget.note_kept()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next steps depend on: tensors, and facts for JSON."""
        tensors = self.learned() | {"generator": self._generator.get_state()}
        for number, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": moment for name, moment in moments.items()}
        if self._budget is not None:
            tensors |= {f"budget.{name}": tensor for name, tensor in self._budget.state().items()}
        return tensors, {"step": self.step, "batches": self._batches.generator.bit_generator.state}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Goes on from `state` of a fit with the same arguments: all later steps are the same to the bit."""
        self.take_back(tensors)
        self._generator.set_state(tensors["generator"])
        moments: dict[int, dict[str, Tensor]] = {}
        for path, tensor in under(tensors, "optimizer.").items():
            number, name = path.split(".", 1)
            moments.setdefault(int(number), {})[name] = tensor
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        if self._budget is not None:
            device = self.texts.device
            self._budget.restore({name: tensor.to(device) for name, tensor in under(tensors, "budget.").items()})
        self.step = facts["step"]
        self._batches.generator.bit_generator.state = facts["batches"]

    def _new_optimizer(self) -> torch.optim.Optimizer:
        match = self._match
        matrices, others = matrices_and_others(self.module)
        rate = self._config.learning_rate or LEARNING_RATES[self.texts.tuning.kind]
        parts = [
            (matrices, match.learning_rate, match.weight_decay),
            (others, match.learning_rate, 0.0),
            (self._encoder_weights, rate, self._config.weight_decay),
        ]
        groups = [
            {"params": weights, "lr": highest, "highest": highest, "weight_decay": decay}
            for weights, highest, decay in parts
        ]
        return torch.optim.AdamW(groups)


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def averaged(frozen: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights `share` of the way from the frozen encoder's to the tuned one's (WiSE-FT, arXiv 2109.01903)."""
    return {name: torch.lerp(frozen[name], tensor, share) if share < 1 else tensor for name, tensor in tuned.items()}
