from __future__ import annotations

import pytest
import torch

from recmem.text.torch_device import ComingTensor, resolve_device, resolve_dtype, sent


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_f": True}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"neon": True, "sve_bf16": True}, torch.bfloat16),
    ],
    ids=str,
)
def test_auto_dtype_follows_the_processor(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_dtype("auto", torch.device("cpu")) == expected
    assert resolve_dtype("float32", torch.device("cpu")) == torch.float32


def test_auto_dtype_is_float32_on_a_torch_that_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_dtype("auto", torch.device("cpu")) == torch.float32


def test_unknown_devices_and_dtypes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="device: expected 'auto' or 'cpu' on a machine without CUDA, got 'cuda:1'"):
        resolve_device("cuda:1")
    with pytest.raises(ValueError, match="dtype: expected one of auto, float32, bfloat16, float16, got 'int8'"):
        resolve_dtype("int8", torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_tensor_comes_back_from_the_device_as_it_was_when_it_left(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    tensor = torch.arange(1000.0)
    on_device = sent(tensor, torch.device(device))
    coming = ComingTensor(on_device * 2)
    assert coming.wait().device.type == "cpu"
    assert torch.equal(coming.wait(), tensor * 2)
