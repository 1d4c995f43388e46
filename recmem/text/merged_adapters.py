"""Adapters multiplied into an encoder's weights: LoRA, AdaLoRA and IA3, without PEFT.

The tensors have the names and shapes that PEFT 0.21 gives them in training (`recmem.text.adapters`):

    LoRA      W + scale B A                     (Hu et al., arXiv 2106.09685)
    AdaLoRA   W + scale rank / r B (A * E)      (Zhang et al., arXiv 2303.10512), r the rank that training began with
    IA3       l * W and l * b                   (Liu et al., arXiv 2205.05638)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

MERGED_KINDS = ("lora", "adalora", "ia3")
LORA_SCALE = 2
"""What the product of a LoRA's two matrices is multiplied by: `lora_alpha / r`."""

_ADALORA_EPSILON = 1e-5
_WRAPPED = "base_model.model."


def adalora_rank(rank: int) -> int:
    """Directions that AdaLoRA begins with: half as many again, of which the least important ones become zero."""
    return rank + rank // 2


def merge_adapter(model: nn.Module, layers: nn.ModuleList, kind: str, rank: int, tensors: Mapping[str, Tensor]) -> None:
    """Changes the weights of all linear maps in the layers, in place.

    Raises ValueError, and changes nothing, unless the tensors are exactly those of such an adapter of this model.
    """
    inside = {id(module) for module in layers.modules()}
    linear = {
        name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and id(module) in inside
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in linear.items():
        shapes |= {f"{_WRAPPED}{name}.{part}": shape for part, shape in _shapes(module, kind, rank).items()}
    check_tensors(tensors, shapes)
    with torch.no_grad():
        for name, module in linear.items():
            parts = {part: tensors[f"{_WRAPPED}{name}.{part}"] for part in _shapes(module, kind, rank)}
            _merge(module, kind, rank, [part.to(module.weight.device) for part in parts.values()])


def check_tensors(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ValueError unless the tensors have these names and shapes, are float32 and finite."""
    if tensors.keys() != shapes.keys():
        names = ", ".join(sorted(tensors.keys() ^ shapes.keys()))[:200]
        raise ValueError(
            f"encoder: expected the {len(shapes)} tensors of this tuning, got {len(tensors)} ({names!r} missing or "
            "too many). Train again."
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            got = f"{tensor.dtype}{list(tensor.shape)}"
            raise ValueError(f"encoder.{name}: expected a float32 tensor of shape {shape}, got {got}. Train again.")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"encoder.{name}: expected finite numbers, got NaN or infinity. Train again.")


def _shapes(module: Any, kind: str, rank: int) -> dict[str, tuple[int, ...]]:
    """The adapter's tensors of one linear map, by name."""
    n_out, n_in = module.weight.shape
    if kind == "ia3":
        return {"ia3_l.default": (n_out, 1)}
    if kind == "lora":
        return {"lora_A.default.weight": (rank, n_in), "lora_B.default.weight": (n_out, rank)}
    directions = adalora_rank(rank)
    return {
        "lora_A.default": (directions, n_in),
        "lora_B.default": (n_out, directions),
        "lora_E.default": (directions, 1),
    }


def _merge(module: Any, kind: str, rank: int, parts: list[Tensor]) -> None:
    # In float32: the weights may be in bfloat16, and are rounded to it once.
    weight = module.weight.float()
    if kind == "ia3":
        module.weight.copy_(weight * parts[0])
        if module.bias is not None:
            module.bias.copy_(module.bias.float() * parts[0].flatten())
    elif kind == "lora":
        module.weight.copy_(weight + LORA_SCALE * (parts[1] @ parts[0]))
    else:
        scale = LORA_SCALE * rank / (adalora_rank(rank) + _ADALORA_EPSILON)
        module.weight.copy_(weight + scale * (parts[1] @ (parts[0] * parts[2])))
