"""The calibrated match score on a device."""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from recmem.matching.calibration import Calibration


def probability(calibration: Calibration, raw: Float32[Tensor, " pair"]) -> Float32[Tensor, " pair"]:
    """See `Calibration.probability`."""
    return torch.sigmoid(calibration.slope * raw.double() + calibration.intercept).float()
