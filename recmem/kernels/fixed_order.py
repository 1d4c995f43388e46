"""Sums by row that are added in a fixed order on any device, so that one seed gives one module.

Which of torch's operations keep an order depends on the device. On a CPU `index_add` does, in order of the values, and
`index_put` does not. On CUDA it is the other way round: `index_add` adds atomically, `index_put` sorts first.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor


def rows_of(table: Float[Tensor, "row *dims"], rows: Int[Tensor, " place"]) -> Float[Tensor, "place *dims"]:
    """`table[rows]`, whose gradient is added in a fixed order."""
    # The gradient of index_select is index_add's sum, that of indexing is index_put's.
    return table[rows] if table.is_cuda else table.index_select(0, rows)


def sums_by_row(
    values: Float[Tensor, "place *dims"], rows: Int[Tensor, " place"], n_rows: int
) -> Float[Tensor, "row *dims"]:
    """The sum of the values of each row, zero where it has none."""
    sums = values.new_zeros(n_rows, *values.shape[1:])
    if values.is_cuda:
        return sums.index_put_((rows,), values, accumulate=True)
    return sums.index_add_(0, rows, values)
