"""The mean of several match modules as one module, so that serving always has a single one.

The score is a sum over heads: side by side, the heads of k modules add up to the sum of the k scores. Everything that a
head's values are made of is linear in the probe, gamma and the null slot's value, so dividing these by k makes the sum
the mean. Attention (query, key, alpha, ages, kinds, null weight) stays as each module has learned it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from recmem.matching.match_module import MatchModule

_HEADS_IN_ROWS = ("query", "key", "value", "key_bias", "value_bias", "null_logit", "alpha")
_HEADS_IN_COLUMNS = ("age", "kind", "sign")
_DIVIDED = ("probe", "gamma", "null_value", "null_offset")
"""What a head's values are linear in; heads in rows."""


def mean_module(modules: Sequence[MatchModule]) -> MatchModule:
    """The module whose scores, priors and contributions are the means of the given ones' (float32 rounding apart).

    It has the heads of all of them. One module is returned as it is. Raises ValueError without a module, or if they
    differ in their configuration.
    """
    if not modules:
        raise ValueError("modules: expected at least one match module, got none. Give the modules to average.")
    first = modules[0]
    if len(modules) == 1:
        return first
    other = next((module.config for module in modules if module.config != first.config), None)
    if other is not None:
        raise ValueError(
            f"modules: expected match modules of one shape, got {first.config} and {other}. "
            "Average modules of one training."
        )
    states = [module.state_dict() for module in modules]
    n_modules = len(modules)
    weights = {name: torch.cat([state[name] for state in states]) for name in _HEADS_IN_ROWS}
    weights |= {name: torch.cat([state[name] for state in states], dim=1) for name in _HEADS_IN_COLUMNS}
    weights |= {name: torch.cat([state[name] for state in states]) / n_modules for name in _DIVIDED}
    weights["prior"] = torch.stack([state["prior"] for state in states]).mean(0)
    config = replace(first.config, n_heads=n_modules * first.config.n_heads)
    return MatchModule.from_weights(config, weights).to(first.prior.device).eval()
