"""Which device and dtype torch computes with, if the caller leaves the choice open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_NATIVE_BFLOAT16 = ("amx_bf16", "avx512_bf16", "sve_bf16")


def resolve_device(device: str) -> torch.device:
    """The torch device of this name; "auto" is CUDA if there is a CUDA device, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device: expected 'auto' or 'cpu' on a machine without CUDA, got {device!r}. Use 'auto'.")
    return torch.device(device)


def resolve_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """The torch dtype of this name; "auto" is bfloat16 if `device` multiplies it natively, else float32."""
    if dtype not in get_args(Dtype):
        raise ValueError(f"dtype: expected one of {', '.join(get_args(Dtype))}, got {dtype!r}. Use 'auto'.")
    if dtype == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
    named: torch.dtype = getattr(torch, dtype)
    return named


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The CPU's tensor on the device. Nothing waits for CUDA: the copy is made of pinned memory."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class ComingTensor:
    """A tensor on its way from a device to the CPU. Its copy from CUDA begins at once, and only `wait` waits for it."""

    def __init__(self, tensor: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if tensor.device.type != "cuda":
            self._tensor = tensor.cpu()
            return
        self._tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._tensor.copy_(tensor, non_blocking=True)
        self._event = torch.cuda.Event()
        self._event.record(torch.cuda.current_stream(tensor.device))

    def wait(self) -> Tensor:
        """The tensor on the CPU."""
        if self._event is None:
            return self._tensor
        self._event.synchronize()
        return self._tensor.clone()  # pinned memory is scarce, and goes back to torch


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the processor has bfloat16 instructions; emulated bfloat16 is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Some torch releases from 2.11 on lack get_capabilities. float32 is then correct everywhere, though slower on some.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in _NATIVE_BFLOAT16)
