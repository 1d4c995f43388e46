"""Adapters beside an encoder's weights, made by PEFT (an extra): LoRA, AdaLoRA, IA3 and prefix tuning.

`recmem.text.merged_adapters` multiplies them into the weights, by the same scales.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from feature_store.extras import install_command
from recmem.text.merged_adapters import LORA_SCALE, adalora_rank

if TYPE_CHECKING:
    from peft import PeftConfig

ADAPTER_KINDS = ("lora", "adalora", "ia3", "prefix")

INITIAL_PREFIX = 0.02
"""Standard deviation of the prefix's initial keys and values: near zero, so that they bring little at first."""
ADALORA_STEPS = 800
"""Steps over which AdaLoRA chooses its ranks, if nobody sets them: see `training.fitting.fit_encoder`."""
_SEED = 0


def add_adapter(model: Any, kind: str, *, rank: int, layers: nn.ModuleList, name: str) -> Any:
    """The model wrapped by PEFT, with adapters on all linear maps of its layers; `name` is the layers' name in it.

    Raises ImportError without the extra `peft`, ValueError if PEFT cannot adapt this encoder.
    """
    try:
        import peft
    except ImportError as error:
        raise ImportError(
            f"tune_encoder: expected the package peft for {kind!r}, got none. Run {install_command('peft')}, or tune "
            "with 'last' or 'full', which need nothing."
        ) from error
    linear = [
        f"{name}.{number}.{path}"
        for number, layer in enumerate(layers)
        for path, module in layer.named_modules()
        if isinstance(module, nn.Linear)
    ]
    if kind != "prefix" and not linear:
        raise ValueError(
            f"encoder: expected linear maps in the layers of {type(model).__name__} for {kind!r}, got none. "
            "Tune it with 'last' or 'full'."
        )
    # PEFT draws from torch's global generator.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(_SEED)
        # PEFT 0.21 asks transformers 5 by a name that it will drop.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        try:
            adapted = peft.get_peft_model(model, _config(kind, rank, linear))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            cause = str(error).partition("\n")[0][:200].rstrip(".")
            raise ValueError(
                f"encoder: expected one that PEFT can adapt with {kind!r}, got an error ({cause}) for "
                f"{type(model).__name__}. Tune it with 'last' or 'full'."
            ) from error
    if kind == "prefix":
        with torch.no_grad():
            for weight in adapted.parameters():
                if weight.requires_grad:
                    weight.mul_(INITIAL_PREFIX)
    return adapted


def _config(kind: str, rank: int, linear: list[str]) -> PeftConfig:
    import peft

    if kind == "lora":
        return peft.LoraConfig(r=rank, lora_alpha=LORA_SCALE * rank, lora_dropout=0.0, target_modules=linear)
    if kind == "adalora":
        # Begins with half as many directions again, and drops the least important ones.
        return peft.AdaLoraConfig(
            init_r=adalora_rank(rank),
            target_r=rank,
            lora_alpha=LORA_SCALE * rank,
            lora_dropout=0.0,
            target_modules=linear,
            total_step=ADALORA_STEPS,
            tinit=ADALORA_STEPS // 10,
            tfinal=0,
            deltaT=10,
        )
    if kind == "ia3":
        return peft.IA3Config(target_modules=linear, feedforward_modules=[])
    return peft.PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=rank)
