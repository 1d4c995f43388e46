"""What a tuned encoder has learned: which of its weights are trained, their names and shapes, and their fingerprint.

A tuned encoder is the frozen one plus a dict of tensors: whole layers, or the adapters that PEFT puts beside them
(`recmem.text.adapters`). Only these are trained, saved and shipped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from feature_store.settings import check_settings, setting
from recmem.text.adapters import ADAPTER_KINDS, add_adapter
from recmem.text.merged_adapters import MERGED_KINDS, check_tensors, merge_adapter

TuningKind = Literal["last", "lora", "adalora", "ia3", "prefix", "full"]

_POOLER = "pooler."
_PREFIX = "prompt_encoder.default.embedding.weight"
"""The one tensor of a prefix: keys and values of all layers, a row per token."""
_FINGERPRINT_CHARS = 16


@dataclass(frozen=True)
class EncoderTuning:
    """Which weights of an encoder are tuned."""

    kind: TuningKind = setting("last", remedy="Try 'last' on a CPU.")
    """`last`: the last `layers` layers. `lora`, `adalora`, `ia3`, `prefix`: adapters, with the extra `peft`. `full`:
    all weights but a pooler's, which is not read."""
    layers: int = setting(2, low=1, high=1000)
    """Layers that `last` tunes; the other kinds do not read it."""
    rank: int = setting(16, low=1, high=4096)
    """Rank of `lora` and `adalora`, and the number of tokens that `prefix` puts before a text; others ignore it."""

    def __post_init__(self) -> None:
        check_settings(self)


def tunable(model: Any, tuning: EncoderTuning) -> Any:
    """The model, in which only what is tuned requires a gradient: changed in place, and wrapped if adapters are added.

    It gives the vectors that it gave before (with `prefix`, which attends to tokens of its own, it does not), and stays
    in evaluation mode. Adapters begin at the same numbers in every call.

    Raises ValueError if the encoder has no layers of this kind, ImportError if the extra `peft` is missing.
    """
    model.requires_grad_(False)
    if tuning.kind in ADAPTER_KINDS:
        name, layers = layers_of(model)
        return add_adapter(model, tuning.kind, rank=tuning.rank, layers=layers, name=name).eval()
    if tuning.kind == "last":
        _, layers = layers_of(model)
        if tuning.layers > len(layers):
            raise ValueError(
                f"layers: expected at most the encoder's {len(layers)}, got {tuning.layers}. Lower it, or tune 'full'."
            )
        layers[-tuning.layers :].requires_grad_(True)
    else:
        for name, weight in model.named_parameters():
            weight.requires_grad_(not name.startswith(_POOLER))
    return model.eval()


def layers_of(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The encoder's layers and their name in it: its longest list of modules, the outermost of equal ones.

    Raises ValueError if it has none.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    if not found or not max(len(layers) for _, layers in found):
        raise ValueError(
            f"encoder: expected a list of layers, got none in {type(model).__name__}. Tune it whole, with 'full'."
        )
    # `max` keeps the first of equal ones, and outer modules come first.
    return max(found, key=lambda named: len(named[1]))


def tuned_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What is tuned of a `tunable` model, by name: float32 on the CPU, copies."""
    return {
        name: weight.detach().to("cpu", torch.float32, copy=True).contiguous()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


def load_tuned_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Puts `tuned_tensors` into a `tunable` model, in place.

    Raises ValueError, and changes nothing, if names or shapes are others, or a tensor is not float32 or not finite.
    """
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    check_tensors(tensors, {name: tuple(weight.shape) for name, weight in weights.items()})
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(tensors[name])


def with_tensors(model: Any, tuning: EncoderTuning, tensors: Mapping[str, Tensor]) -> Any:
    """The tuned encoder, in evaluation mode and without gradients; `model`, the frozen one, is changed in place.

    Adapters but a prefix are merged into the weights: encoding takes no longer than before, and needs no PEFT.

    Raises ValueError, before anything is changed, if the tensors are not those of this tuning of this encoder;
    ImportError for a prefix without the extra `peft`.
    """
    if tuning.kind in MERGED_KINDS:
        _, layers = layers_of(model)
        merge_adapter(model, layers, tuning.kind, tuning.rank, tensors)
        return model.requires_grad_(False).eval()
    if tuning.kind == "prefix":  # checked before a prefix of that length is allocated
        prefix = tensors.get(_PREFIX)
        width = int(prefix.shape[1]) if prefix is not None and prefix.ndim == 2 else 1
        check_tensors(tensors, {_PREFIX: (tuning.rank, width)})
    prepared = tunable(model, tuning)
    load_tuned_tensors(prepared, tensors)
    return prepared.requires_grad_(False).eval()


def tuned_fingerprint(fingerprint: str, tuning: EncoderTuning, tensors: Mapping[str, Tensor]) -> str:
    """16 hex digits that name the tuned encoder's embedding space, from the frozen one's and what was learned.

    The same for tensors in half precision as for these in float32.
    """
    digest = hashlib.sha256(f"tuned:{fingerprint}\n{json.dumps(asdict(tuning), sort_keys=True)}\n".encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:_FINGERPRINT_CHARS]
