"""The calibrated score on a device is that of the CPU."""

from __future__ import annotations

import numpy as np
import torch

from recmem.matching.calibration import Calibration
from recmem.on_device.calibration import probability
from tolerances import close


def test_probabilities_are_those_of_the_cpu(device: torch.device) -> None:
    raw = np.array([-1e6, -30, -1.5, 0, 0.25, 40, 1e6], np.float32)
    for calibration in (Calibration(0.7, -2.0), Calibration(0.0, 1.0)):
        found = probability(calibration, torch.from_numpy(raw).to(device))
        close(found, calibration.probability(raw), "float32")
        assert found.dtype == torch.float32
