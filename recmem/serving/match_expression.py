"""The match of each row as a polars expression, for lazy frames and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from feature_store import DataError
from recmem.serving.scoring import MATCH_OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recmem.serving.model import Model

MATCH_STRUCT = pl.Struct({name: pl.Float32 for name in MATCH_OUTPUTS})
"""What the expression gives: a struct of the match features."""


def match_expression(model: Model, inputs: Mapping[str, pl.Expr | str]) -> pl.Expr:
    """A struct of `MATCH_OUTPUTS` for each row; `inputs` are the columns that `Model.match` reads, by their names.

    Raises DataError for an input that is the name of an output.
    """
    taken = sorted(set(inputs) & set(MATCH_OUTPUTS))
    if taken:
        raise DataError(f"match_expr: expected inputs of the match, got its output {taken[0]!r}. Leave it out.")
    columns = [(pl.col(value) if isinstance(value, str) else value).alias(name) for name, value in inputs.items()]

    def matched(rows: pl.Series) -> pl.Series:
        return model.match(rows.struct.unnest()).select(pl.struct(MATCH_OUTPUTS)).to_series()

    # A pair's match depends on no other row, so that polars may cut the frame into batches.
    return pl.struct(columns).map_batches(matched, return_dtype=MATCH_STRUCT, is_elementwise=True).alias("match")
