from __future__ import annotations

import torch

from recmem.kernels.fixed_order import rows_of, sums_by_row
from tolerances import close

ROWS = torch.tensor([2, 0, 2, 2, 0])
VALUES = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.0]])


def test_values_are_added_by_row(device: torch.device) -> None:
    sums = sums_by_row(VALUES.to(device), ROWS.to(device), 4)
    assert sums.tolist() == [[12.0, 14.0], [0.0, 0.0], [13.0, 16.0], [0.0, 0.0]]


def test_the_gradient_of_rows_is_added_by_row(device: torch.device) -> None:
    table = torch.arange(8.0, device=device).reshape(4, 2).requires_grad_()
    rows = rows_of(table, ROWS.to(device))
    assert rows.tolist() == [[4.0, 5.0], [0.0, 1.0], [4.0, 5.0], [4.0, 5.0], [0.0, 1.0]]
    (rows * VALUES.to(device)).sum().backward()
    assert table.grad is not None
    assert table.grad.tolist() == [[12.0, 14.0], [0.0, 0.0], [13.0, 16.0], [0.0, 0.0]]


def test_the_order_of_a_sum_is_the_same_each_time(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(8, (5000,), generator=generator).to(device)
    values = torch.randn((5000, 64), generator=generator).to(device)
    table = torch.randn((8, 64), generator=generator).to(device).requires_grad_()
    sums = []
    gradients = []
    for _ in range(5):
        sums.append(sums_by_row(values, rows, 8))
        table.grad = None
        (rows_of(table, rows) * values).sum().backward()
        gradients.append(table.grad)
    for first, *others in (sums, gradients):
        for other in others:
            close(other, first, "exact")
