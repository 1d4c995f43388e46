"""The hidden states below an encoder's tuned layers, computed once per text: a step runs through the tuned ones alone.

They are kept as float16, in memory or, where they would take too much of it, in a temporary file that is mapped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from recmem.text.encoder_tuning import layers_of
from recmem.text.token_batches import pad_tokens, token_batches

MEMORY_BYTES = 2 << 30
"""Hidden states that take more than this are kept in a file."""
_BATCH_TOKENS = {"cpu": 4096, "mps": 8192, "cuda": 131072}
"""Tokens that are computed at once, padding included, by type of device."""


class _ReachedError(Exception):
    """Ends a pass through the model where the hidden states are known."""


class LowerLayers:
    """The hidden states of texts at the first tuned layer. Once they are known, the model skips the layers below it.

    The model goes on computing embeddings, masks and what follows its layers. All that must hold of it is that a layer
    takes hidden states as its first argument and returns them, alone or as the first of a tuple.
    """

    def __init__(
        self,
        model: Any,
        n_tuned: int,
        tokens: Sequence[Sequence[int]],
        *,
        pad_id: int,
        memory_bytes: int = MEMORY_BYTES,
        on_text: Callable[[int], None] | None = None,
    ) -> None:
        """Runs every text through the layers below the last `n_tuned`, and turns these off: there must be at least one.

        `tokens` are the texts' token ids, `memory_bytes` the most that their hidden states may take in memory.
        `on_text` is called with the number of texts just done.

        Raises ValueError if a hidden state does not fit into float16.
        """
        _, layers = layers_of(model)
        self._lower = list(layers[:-n_tuned])
        self._given: Float[Tensor, "batch token dim"] | None = None
        layers[-n_tuned].register_forward_pre_hook(self._replace, with_kwargs=True)
        lengths = [len(ids) for ids in tokens]
        self._offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self._hidden = self._allocate(int(model.config.hidden_size), memory_bytes)
        gives_tuples = False

        def note(_module: Any, _args: Any, output: Any) -> None:
            nonlocal gives_tuples
            gives_tuples = isinstance(output, tuple)

        noting = self._lower[-1].register_forward_hook(note)
        for rows in token_batches(lengths, budget=_BATCH_TOKENS[model.device.type]):
            self._compute(model, [tokens[row] for row in rows], rows, pad_id)
            if on_text is not None:
                on_text(len(rows))
        noting.remove()
        for layer in self._lower:
            layer.forward = partial(_skip, gives_tuples=gives_tuples)

    def give(self, rows: Sequence[int], mask: Bool[Tensor, "batch token"], device: torch.device) -> None:
        """Sets the texts of the next pass through the model, in its order; `mask` is theirs from `pad_tokens`."""
        parts = [self._hidden[self._offsets[row] : self._offsets[row + 1]] for row in rows]
        hidden = torch.zeros(*mask.shape, self._hidden.shape[1])
        hidden[mask] = torch.from_numpy(np.concatenate(parts)).float()
        self._given = hidden.to(device)

    @property
    def is_in_memory(self) -> bool:
        """Whether the hidden states are in memory and not in a file."""
        return not isinstance(self._hidden, np.memmap)

    def _allocate(self, dim: int, memory_bytes: int) -> NDArray[np.float16]:
        shape = (int(self._offsets[-1]), dim)
        if shape[0] * dim * np.dtype(np.float16).itemsize <= memory_bytes:
            return np.empty(shape, np.float16)
        # It has no name, so that nothing is left of it, not even after a kill.
        with tempfile.TemporaryFile(prefix="recmem-hidden-") as file:
            return np.memmap(file, np.float16, mode="w+", shape=shape)

    def _compute(self, model: Any, tokens: list[Sequence[int]], rows: list[int], pad_id: int) -> None:
        token_ids, mask = pad_tokens(tokens, pad_id=pad_id)
        with torch.no_grad():
            try:
                model(input_ids=token_ids.to(model.device), attention_mask=mask.to(model.device).long())
            except _ReachedError as reached:
                flat = reached.args[0].float().cpu()[mask].half()
        if not bool(torch.isfinite(flat).all()):
            raise ValueError(
                "encoder: expected hidden states within float16's range, got larger ones. Tune with 'full' or 'lora'."
            )
        ends = np.cumsum([len(ids) for ids in tokens])
        for row, (start, end) in zip(rows, pairwise([0, *ends.tolist()]), strict=True):
            self._hidden[self._offsets[row] : self._offsets[row + 1]] = flat[start:end].numpy()

    def _replace(self, _layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if self._given is None:
            raise _ReachedError(args[0] if args else kwargs["hidden_states"])
        return ((self._given, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": self._given})


def _skip(hidden_states: Tensor, *_args: Any, gives_tuples: bool, **_kwargs: Any) -> Any:
    """Stands in for a lower layer's `forward`."""
    return (hidden_states,) if gives_tuples else hidden_states
