"""The stand-in for a GPU refuses what a GPU would refuse, and gives the CPU's numbers for the rest."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from stand_in_cuda import stand_in_cuda

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here, and needs no stand-in")


def test_tensors_are_where_they_were_made_or_moved() -> None:
    with stand_in_cuda():
        made = torch.arange(4, device="cuda")
        moved = torch.from_numpy(np.arange(4)).to("cuda")
        results = [made + moved, made[1:], made.new_zeros(3), torch.zeros_like(moved), torch.unique(made), made.float()]
        assert {str(tensor.device) for tensor in (made, moved, *results)} == {"cuda:0"}
        assert made.cpu().numpy().tolist() == [0, 1, 2, 3]
        assert [(made + moved)[2].item(), int(moved.sum())] == [4, 6]
    assert not torch.cuda.is_available()


def test_a_tensor_of_the_host_is_refused_beside_one_of_the_device() -> None:
    with stand_in_cuda():
        numbers = torch.arange(4, device="cuda")
        with pytest.raises(RuntimeError, match="same device"):
            numbers + torch.arange(4)
        with pytest.raises(RuntimeError, match="same device"):
            torch.cat([numbers, torch.arange(4)])
        # A GPU takes single numbers and rows of the host.
        assert (numbers * torch.tensor(2))[torch.tensor([3])].tolist() == [6]


def test_the_host_reads_a_copy_alone() -> None:
    with stand_in_cuda():
        numbers = torch.ones(2, device="cuda")
        with pytest.raises(TypeError, match="Copy it to the host"):
            numbers.numpy()
        with pytest.raises(TypeError, match="Copy it to the host"):
            np.asarray(numbers)
        copied = numbers.cpu()
        numbers.add_(1)
        assert (copied.tolist(), numbers.tolist()) == ([1, 1], [2, 2])


def test_modules_move_are_copied_and_compute() -> None:
    module = torch.nn.Linear(3, 2)
    inputs = torch.ones(4, 3)
    expected = module(inputs)
    with stand_in_cuda():
        there = copy.deepcopy(module).to(torch.device("cuda"))
        assert {parameter.device.type for parameter in copy.deepcopy(there).parameters()} == {"cuda"}
        assert torch.equal(there(inputs.to("cuda")).cpu(), expected)
        with pytest.raises(RuntimeError, match="same device"):
            there(inputs)


def test_other_threads_have_it_too() -> None:
    with stand_in_cuda(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: torch.ones(2, device="cuda").sum().item()).result() == 2
