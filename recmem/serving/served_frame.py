"""Frames that a model server takes and gives: what its formats make of a request, and results that are valid JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from feature_store import DataError
from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS

_IDS = ("user_id", "item_id")


class ServedFrame(pd.DataFrame):  # type: ignore[misc]  # pandas has no types
    """A pandas frame whose records hold None for a missing or infinite cell: a server writes them as JSON.

    JSON has no NaN, and MLflow would write that word. The columns stay as they are, so numbers stay numbers in Python.
    """

    def to_dict(self, orient: Any = "dict", **options: Any) -> Any:
        """As pandas does it; None for missing cells in `orient="records"`."""
        result = super().to_dict(orient, **options)
        if orient != "records":
            return result
        return [{name: _json_cell(cell) for name, cell in record.items()} for record in result]


def request_frame(given: pd.DataFrame) -> pd.DataFrame:
    """The candidates of a request, however its format spelt them.

    MLflow hands over `inputs` of text columns as one row of lists, an empty CSV column as numbers that are missing, and
    a column that comes twice as its own name. Raises DataError for that one, and for lists of several lengths.
    """
    frame = _columns_of_lists(given) if len(given) == 1 else given
    twice = [name for name in CANDIDATE_COLUMNS if name in frame and len(frame) > 1 and _is_name(frame[name])]
    if twice:
        raise DataError(f"candidates: expected every column once, got {', '.join(twice)} twice. Rename or drop one.")
    empty = [name for name in frame.columns if frame[name].dtype.kind == "f" and frame[name].isna().all()]
    if not empty or frame.empty:
        return frame
    return frame.assign(**{name: pd.Series([None] * len(frame), frame.index, dtype=object) for name in empty})


def _columns_of_lists(row: pd.DataFrame) -> pd.DataFrame:
    cells = {name: row[name].iloc[0] for name in row.columns}
    if not all(isinstance(cells.get(name), list) for name in _IDS):
        return row
    try:
        return pd.DataFrame(cells)
    except ValueError as error:
        lengths = ", ".join(f"{name} {len(cell)}" for name, cell in cells.items() if isinstance(cell, list))
        remedy = "Give every column one value per candidate; a history is a list in each."
        raise DataError(f"inputs: expected columns of one length, got {lengths}. {remedy}") from error


def _is_name(column: pd.Series[Any]) -> bool:
    return all(isinstance(cell, str) and cell == column.name for cell in column)


def _json_cell(cell: Any) -> Any:
    if isinstance(cell, list | tuple | np.ndarray):
        return [_json_cell(part) for part in cell]
    if isinstance(cell, dict):
        return {name: _json_cell(part) for name, part in cell.items()}
    if isinstance(cell, float | np.floating):
        return cell if math.isfinite(cell) else None
    return None if cell is None or cell is pd.NA or cell is pd.NaT else cell
