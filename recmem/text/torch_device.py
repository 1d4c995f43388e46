"""Which device and dtype torch computes with, if the caller leaves the choice open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch

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


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the processor has bfloat16 instructions; emulated bfloat16 is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Some torch releases from 2.11 on lack get_capabilities. float32 is then correct everywhere, though slower on some.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in _NATIVE_BFLOAT16)
