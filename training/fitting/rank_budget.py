"""AdaLoRA's budget of ranks while it is trained: which directions of which layer are kept (arXiv 2303.10512)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ORTHOGONALITY = 0.5
"""Weight of the penalty that keeps the directions of a layer orthogonal, as PEFT has it."""
FIRST_CUT = 0.1
"""Share of the steps before the first directions are dropped; the last step drops the last ones."""
_ADAPTER = "default"
_MEMORY = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""Attributes of PEFT's allocator: running means of each weight's importance, by the weight's name."""


class RankBudget:
    """Drops directions during a fit of `steps` steps; a later fit (`drops=False`) keeps at zero what was dropped."""

    def __init__(self, model: Any, steps: int, *, drops: bool) -> None:
        self._model = model
        self._drops = drops
        config = model.peft_config[_ADAPTER]
        config.total_step = steps
        config.tinit = int(steps * FIRST_CUT)
        self.note_kept()

    def note_kept(self) -> None:
        """Takes the directions that are not zero now as those that are kept: to be called when weights are loaded."""
        self._kept = {name: weight.detach() != 0 for name, weight in self._weights("lora_E")}

    def penalty(self) -> Tensor:
        """How far the directions of each layer are from orthonormal, on average; a scalar to be added to the loss."""
        norms = []
        for side in ("lora_A", "lora_B"):
            for _, weight in self._weights(side):
                gram = weight @ weight.T if side == "lora_A" else weight.T @ weight
                norms.append((gram - torch.eye(len(gram), device=gram.device)).norm())
        return ORTHOGONALITY * torch.stack(norms).mean()

    def after_step(self, step: int) -> None:
        """To be called after the optimizer's step, while the gradients are still there."""
        if self._drops:
            self._model.base_model.update_and_allocate(step)
            return
        with torch.no_grad():
            for name, weight in self._weights("lora_E"):
                weight.mul_(self._kept[name])

    def state(self) -> dict[str, Tensor]:
        """What a resumed fit needs, beside the weights: the allocator's running means, by name."""
        allocator = self._model.base_model.rankallocator
        return {f"{part}.{name}": value for part in _MEMORY for name, value in getattr(allocator, part).items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Takes up `state` of a fit that was cut off."""
        allocator = self._model.base_model.rankallocator
        for part in _MEMORY:
            prefix = f"{part}."
            memory = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            setattr(allocator, part, memory)

    def _weights(self, kind: str) -> list[tuple[str, Tensor]]:
        return [(name, weight) for name, weight in self._model.named_parameters() if f".{kind}." in name]
