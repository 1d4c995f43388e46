"""A stand-in for a CUDA device, where there is none: tensors that say that they are on it, computed on the CPU.

It finds what else only a GPU would: operations on tensors of two devices, and tensors that are read on the host without
a copy. It says nothing of kernels, gradients, streams, memory or speed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)
MIXES_DEVICES = ("__getitem__", "__setitem__", "copy_", "where", "_has_compatible_shallow_copy_type")
"""Operations that take tensors of the host beside those of a GPU: rows to read, numbers to copy, parameters to move."""
READS_MEMORY = ("numpy", "__array__", "data_ptr", "__dlpack__")
MAKES_LIKE = ("empty_like", "full_like", "ones_like", "zeros_like", "new_empty", "new_full", "new_ones", "new_zeros")
"""These make a tensor where the given one is."""


class CudaTensor(Tensor):
    """A tensor that says it is on the device. `held` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> CudaTensor:
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made: CudaTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, device=CUDA, requires_grad=held.requires_grad, **layout
        )
        made.held = held
        return made

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(function, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise NotImplementedError(f"{function}: the stand-in for a GPU does not compute it")


class _Event:
    """What waits for a copy from the device, which here has ended when it has begun."""

    def record(self, stream: None) -> None:
        pass

    def synchronize(self) -> None:
        pass


class _Mode(TorchFunctionMode):
    """Takes part in every call of torch, also in those that no tensor of the device is given to."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(function, args, kwargs or {})


_CUDA = {
    "_lazy_init": lambda: None,
    "is_available": lambda: True,
    "is_bf16_supported": lambda including_emulation: True,
    "current_stream": lambda device: None,
    "Event": _Event,
}
"""What recmem calls of `torch.cuda`."""


@contextmanager
def stand_in_cuda(*with_triton: ModuleType) -> Iterator[None]:
    """Within it `torch.device("cuda")` is the stand-in, in all threads.

    `with_triton`: modules that look for Triton by `find_spec`; they find none, for its kernels read a GPU's memory.
    """
    run = threading.Thread.run

    def run_with_stand_in(thread: threading.Thread) -> None:
        with _Mode():
            run(thread)

    with ExitStack() as stack:
        for module in with_triton:
            stack.enter_context(patch.object(module, "find_spec", _find_spec_without_triton))
        stack.enter_context(patch.object(threading.Thread, "run", run_with_stand_in))
        for name, function in _CUDA.items():
            stack.enter_context(patch.object(torch.cuda, name, function))
        # A parameter becomes another tensor when its module moves, and not the same one with other numbers.
        swaps = torch.__future__.get_swap_module_params_on_conversion()
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swaps)
        torch.__future__.set_swap_module_params_on_conversion(True)
        stack.enter_context(_Mode())
        yield


def _find_spec_without_triton(name: str) -> Any:
    return None if name == "triton" else find_spec(name)


def _called(function: Any, args: Any, kwargs: Any) -> Any:
    """What `function` returns, on the device that it would be on; raises where a GPU would."""
    name = _name(function)
    if name == "_parse_to":  # of a module that moves: the device itself is asked for
        return function(*args, **kwargs)
    if name == "to":
        return _moved(args[0], args[1:], dict(kwargs))
    if name in ("cpu", "cuda"):
        return _moved(args[0], (torch.device(name),), {})
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    on_device = [tensor for tensor in tensors if isinstance(tensor, CudaTensor)]
    if name == "device" and on_device:
        return CUDA
    if name == "is_cuda":
        return bool(on_device)
    if name == "pin_memory":
        return args[0]
    if on_device:
        _refuse(name, tensors)
    given = kwargs.get("device")
    is_made_there = _is_cuda(given) or (given is None and name in MAKES_LIKE and bool(on_device))
    arguments = {key: value for key, value in kwargs.items() if key != "pin_memory"}
    if _is_cuda(given):
        arguments["device"] = CPU
    result = function(*tree_map(_held, args), **tree_map(_held, arguments))
    if not is_made_there and (given is not None or not on_device):
        return result
    # A function that changes a tensor in place returns it.
    known = {id(tensor.held): tensor for tensor in on_device}
    return tree_map(lambda part: known.get(id(part), _on_device(part)), result)


def _name(function: Any) -> str:
    """Its own; of a property's getter, that of the property."""
    name: str = getattr(function, "__name__", "")
    return str(function.__self__.__name__) if name == "__get__" else name


def _moved(tensor: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """`tensor.to(*args, **kwargs)`"""
    like = next((part for part in args if isinstance(part, Tensor)), None)
    named = next((part for part in args if isinstance(part, str | torch.device)), kwargs.get("device"))
    target = torch.device(named) if named is not None else (tensor if like is None else like).device
    others = [CPU if isinstance(part, str | torch.device) and _is_cuda(part) else _held(part) for part in args]
    if _is_cuda(kwargs.get("device")):
        kwargs["device"] = CPU
    held: Tensor = _held(tensor)
    result = held.to(*others, **kwargs)
    stays = target.type == tensor.device.type
    if stays and result is held:
        return tensor
    if result is held:
        result = held.clone()  # what is done to it is not done to the other
    return CudaTensor(result) if target.type == "cuda" else result


def _refuse(name: str, tensors: list[Tensor]) -> None:
    """Raises where a GPU's tensor would be read as the host's, or meets one of the host that is no single number."""
    if name in READS_MEMORY:
        raise TypeError(f"{name}: can't convert cuda:0 device type tensor to numpy. Copy it to the host first.")
    if name not in MIXES_DEVICES and any(not isinstance(tensor, CudaTensor) and tensor.ndim for tensor in tensors):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found cuda:0 and cpu")


def _is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _held(part: Any) -> Any:
    return part.held if isinstance(part, CudaTensor) else part


def _on_device(part: Any) -> Any:
    return CudaTensor(part) if isinstance(part, Tensor) and not isinstance(part, CudaTensor) else part
