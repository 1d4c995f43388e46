"""Where a training fits the match module and computes match scores."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from recmem.matching.match_module import MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.user_memory import MemoryConfig
from recmem.text.torch_device import resolve_device


def training_device() -> torch.device:
    """CUDA if there is a CUDA device, else the CPU; the text encoder is there too."""
    return resolve_device("auto")


def matcher_for_training(module: MatchModule, vectors: Float[Tensor, "item dim"], memory: MemoryConfig) -> Matcher:
    """The matcher over these texts on the training's device. The module stays on the CPU, where it is saved from."""
    device = training_device()
    if device.type != "cpu":
        # A module's weights move in place, so a copy does.
        module = copy.deepcopy(module).to(device)
    return Matcher.of(module, vectors, memory)
