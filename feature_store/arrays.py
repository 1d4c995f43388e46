"""Types of the arrays that all packages share. An annotation names the dtype; docstrings give the axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "Float32Array", "Float64Array", "Int8Array", "Int16Array", "IntArray"]

IntArray = NDArray[np.int64]
Int8Array = NDArray[np.int8]
Int16Array = NDArray[np.int16]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
