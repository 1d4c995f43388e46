"""The catalogue's texts under an encoder that is being tuned; a step encodes the text of each of its items once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from recmem.kernels.fixed_order import rows_of
from recmem.text.encoder import TextEncoder
from recmem.text.encoder_tuning import EncoderTuning, layers_of, tunable
from recmem.text.token_batches import pad_tokens, pool_tokens, token_batches
from training.fitting.lower_layers import MEMORY_BYTES, LowerLayers

LAYER_TOKENS = 100_000
"""Tokens times tuned layers whose activations are kept at once, elsewhere than on CUDA."""
LAYER_TOKEN_BYTES = 104
"""Of each of these activations in float32, for each dimension of the encoder: 40 kB at 384."""
CUDA_MEMORY_SHARE = 0.4
"""Of a GPU's memory that activations may take, were they float32; the bfloat16 of autocast takes about half of that."""
_USUAL_LAYERS = 12
"""Of an encoder whose configuration does not say how many it has."""


class TunedTexts:
    """Texts by row, and an encoder of which `tuning` says what learns.

    A step's texts are encoded in chunks of similar length. If they are one chunk, its activations are kept for the
    backward pass; of several, each is encoded again when the backward pass reaches it (gradient checkpointing by texts,
    as in GradCache, arXiv 2101.06983), so that memory is bounded by a chunk. Dropout is off: both give one gradient.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        tuning: EncoderTuning,
        texts: Sequence[str],
        *,
        max_tokens: int,
        chunk_tokens: int | None = None,
        memory_bytes: int = MEMORY_BYTES,
        on_text: Callable[[int], None] | None = None,
    ) -> None:
        """`encoder` is changed in place; texts are cut to `max_tokens`.

        `chunk_tokens`: tokens of a chunk, padding included; None chooses by device. `memory_bytes` and `on_text`: see
        `LowerLayers`, which only `last` has.

        Raises ValueError if this encoder cannot be tuned so, ImportError if the extra `peft` is missing.
        """
        self.tuning = tuning
        self._pooling = encoder.config.pooling
        self._pad_id = int(encoder.tokenizer.pad_token_id or 0)
        self._tokens = _cut(encoder.tokenize(texts), max_tokens)
        n_layers = len(layers_of(encoder.model)[1]) if tuning.kind != "full" else _n_layers(encoder.model)
        self.model: Any = tunable(encoder.model, tuning)
        self._lower: LowerLayers | None = None
        n_tuned = n_layers
        if tuning.kind == "last":
            n_tuned = tuning.layers
            if tuning.layers < n_layers:
                self._lower = LowerLayers(
                    self.model,
                    tuning.layers,
                    self._tokens,
                    pad_id=self._pad_id,
                    memory_bytes=memory_bytes,
                    on_text=on_text,
                )
        self._chunk_tokens = chunk_tokens or max(layer_tokens(self.device, encoder.dim) // n_tuned, 1)

    def __len__(self) -> int:
        """Number of texts."""
        return len(self._tokens)

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        device: torch.device = self.model.device
        return device

    def encode(self, rows: Int[Tensor, " text"]) -> Float[Tensor, "text dim"]:
        """Unit vectors of the texts in these rows, on the encoder's device; differentiable in what is tuned.

        A row that stands there twice is encoded twice.
        """
        texts = rows.tolist()
        chunks = list(token_batches([len(self._tokens[text]) for text in texts], budget=self._chunk_tokens))
        parts = []
        for chunk in chunks:
            of_chunk = [texts[place] for place in chunk]
            if len(chunks) > 1 and torch.is_grad_enabled():
                part = checkpoint(self._encode_chunk, of_chunk, use_reentrant=False, preserve_rng_state=False)
            else:
                part = self._encode_chunk(of_chunk)
            parts.append(part)
        order = torch.tensor([place for chunk in chunks for place in chunk]).argsort()
        return rows_of(torch.cat(parts), order.to(self.device))

    @torch.no_grad()
    def encode_all(self) -> Float[Tensor, "text dim"]:
        """Unit vectors of all texts, without gradients."""
        return self.encode(torch.arange(len(self)))

    def _encode_chunk(self, texts: list[int]) -> Float[Tensor, "text dim"]:
        token_ids, mask = pad_tokens([self._tokens[text] for text in texts], pad_id=self._pad_id)
        if self._lower is not None:
            self._lower.give(texts, mask, self.device)
        mask = mask.to(self.device)
        # On a CPU bfloat16 gains a tenth at most: the backward pass converts as much as it saves.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            output = self.model(input_ids=token_ids.to(self.device), attention_mask=mask.long())
        return pool_tokens(output.last_hidden_state, mask, pooling=self._pooling)


def layer_tokens(device: torch.device, dim: int) -> int:
    """Tokens times tuned layers that are kept at once, of an encoder with so many dimensions."""
    if device.type != "cuda":
        return LAYER_TOKENS
    memory = torch.cuda.get_device_properties(device).total_memory
    return int(CUDA_MEMORY_SHARE * memory / (LAYER_TOKEN_BYTES * dim))


def _cut(tokens: list[list[int]], max_tokens: int) -> list[list[int]]:
    # The last token of a cut text is the tokenizer's last one, as when it cuts by itself: a separator in most.
    return [ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]] for ids in tokens]


def _n_layers(model: Any) -> int:
    return int(getattr(model.config, "num_hidden_layers", 0) or _USUAL_LAYERS)
