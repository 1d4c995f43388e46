"""Texts to unit vectors, with any Hugging Face text encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_store.settings import check_settings, setting
from recmem.pipelining import ahead
from recmem.text.encoder_files import (
    DEFAULT_ENCODER,
    earlier_fingerprint_of,
    encoder_folder,
    fingerprint_of,
    weight_files,
)
from recmem.text.encoder_loading import load_model, load_tokenizer
from recmem.text.encoder_tuning import EncoderTuning, tuned_fingerprint, with_tensors
from recmem.text.token_batches import Pooling, pad_tokens, pool_tokens, token_batches
from recmem.text.torch_device import Dtype, resolve_device, resolve_dtype

LONGEST_TEXT = 100_000
"""Characters of a text that reach the tokenizer, which takes 2 us and 200 bytes for each, far beyond `max_tokens`."""

_LENGTH_AS_SAVED = "256, or fewer if sentence-transformers saved fewer with the encoder"
_AS_SAVED = "as sentence-transformers saved it with the encoder"
_CHUNK_TEXTS = 8192
_BATCH_TOKENS: Mapping[str, int] = {"cpu": 2048, "mps": 8192, "cuda": 131072}


@dataclass(frozen=True)
class EncoderConfig:
    """The text encoder. Device and dtype belong to a run: they are arguments of `TextEncoder.load`."""

    name: str = setting(
        DEFAULT_ENCODER, low=1, high=10_000, words="a folder or a Hugging Face id", remedy=f"Try {DEFAULT_ENCODER!r}."
    )
    """A local folder with config.json, tokenizer and *.safetensors, or a Hugging Face id."""
    pooling: Pooling = setting("mean", automatic=f"{_AS_SAVED}, else mean", remedy="See the encoder's model card.")
    """`mean` over the tokens of a text, `cls`, the first token, or `last`: as the encoder was trained."""
    max_tokens: int = setting(256, low=4, high=1_000_000, automatic=_LENGTH_AS_SAVED, aliases=("max_seq_length",))
    """Texts are cut to this many tokens, including special tokens."""
    text_prefix: str = setting("", low=0, high=1000, multiline=True, remedy="See the encoder's model card.")
    """Put before every text, as the encoder was trained: `"query: "` for e5. An item's text stands in memories and is a
    candidate, and the two are compared symmetrically, so there is one prefix for both."""

    def __post_init__(self) -> None:
        check_settings(self)


class TextEncoder:
    """A frozen text encoder and its tokenizer on one device. Create it with `load`."""

    def __init__(
        self, model: Any, tokenizer: Any, config: EncoderConfig, *, fingerprint: str, earlier_fingerprint: str = ""
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.fingerprint = fingerprint
        """16 hex digits that name the embedding space. Vectors with different fingerprints cannot be compared."""
        self.earlier_fingerprint = earlier_fingerprint
        """The name that recmem 0.1 gave to it, which other settings of the same weights share. Empty if unknown."""

    @classmethod
    def load(cls, config: EncoderConfig, *, device: str = "auto", dtype: Dtype = "auto") -> TextEncoder:
        """The encoder of `config`, in evaluation mode, with its fingerprint.

        `device`: "auto" is CUDA if there is a CUDA device, else the CPU. `dtype`: "auto" is bfloat16 if the processor
        multiplies it natively (AVX512-BF16, AMX, ARM SVE BF16, CUDA from Ampere on), else float32. The fingerprint
        depends on neither: MiniLM's vectors of the two dtypes have a cosine within 1e-4 of 1.

        Raises FileNotFoundError if the encoder cannot be found, ValueError if it is found and cannot be used.
        """
        target = resolve_device(device)
        folder = encoder_folder(config.name)
        weights = weight_files(config.name, folder)
        tokenizer = load_tokenizer(folder)
        model = load_model(folder, dtype=resolve_dtype(dtype, target))
        _check_max_tokens(config, model, tokenizer)
        encoder = cls(
            model.to(target).eval(),
            tokenizer,
            config,
            fingerprint=fingerprint_of(folder, weights, **_named_settings(config)),
            earlier_fingerprint=earlier_fingerprint_of(folder, weights, **_named_settings(config)),
        )
        _check_prefix(encoder)
        return encoder

    def tuned(self, tuning: EncoderTuning, tensors: Mapping[str, Tensor]) -> TextEncoder:
        """The encoder with what was learned in tuning it, and a fingerprint of its own; this one stays as it is.

        Raises ValueError if the tensors are not those of this tuning of this encoder.
        """
        model = with_tensors(copy.deepcopy(self.model), tuning, tensors)
        fingerprint = tuned_fingerprint(self.fingerprint, tuning, tensors)
        return TextEncoder(model, self.tokenizer, self.config, fingerprint=fingerprint)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = self.model.device
        return device

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> Float[Tensor, "text dim"]:
        """Unit vectors of `texts`, in their order: float32, on the CPU.

        Texts are cut at `config.max_tokens`. The empty text has a vector too. Equal texts of one call may differ in
        the last bits, because they are padded to different lengths: give distinct texts. `on_progress` is called after
        every batch with the number of texts just encoded; over the call the numbers sum to `len(texts)`.

        Raises TypeError if a text is not a string, FloatingPointError if the encoder returns NaN or infinity,
        ValueError if the tokenizer is another encoder's.
        """
        if len(texts) <= _CHUNK_TEXTS:  # not worth a thread
            return self._encode_tokenized(self.tokenize(texts), on_progress)
        parts = (texts[start : start + _CHUNK_TEXTS] for start in range(0, len(texts), _CHUNK_TEXTS))
        return torch.cat(list(self.encode_each(parts, on_progress=on_progress)))

    def encode_each(
        self, parts: Iterable[Sequence[str]], *, on_progress: Callable[[int], None] | None = None
    ) -> Generator[Float[Tensor, "text dim"], None, None]:
        """`encode` of each part, in order. The next parts are tokenized while one is encoded."""
        with closing(ahead(self.tokenize(part) for part in parts)) as tokenized:
            for tokens in tokenized:
                yield self._encode_tokenized(tokens, on_progress)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, including special tokens: at least one, at most `config.max_tokens`.

        Only the first `LONGEST_TEXT` characters of a text are read.
        """
        _check_texts(texts)
        if not texts:
            return []
        prefix = self.config.text_prefix
        readable = [(prefix + text[:LONGEST_TEXT]).encode("utf-8", "replace").decode("utf-8") for text in texts]
        tokens = self.tokenizer(
            readable,
            truncation=True,
            max_length=self.config.max_tokens,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [ids or [self._pad_id] for ids in tokens["input_ids"]]

    def _encode_tokenized(
        self, tokens: list[list[int]], on_progress: Callable[[int], None] | None
    ) -> Float[Tensor, "text dim"]:
        vectors = torch.empty(len(tokens), self.dim)
        for rows in token_batches([len(ids) for ids in tokens], budget=_BATCH_TOKENS[self.device.type]):
            vectors[torch.tensor(rows)] = self._encode_batch([tokens[row] for row in rows])
            if on_progress is not None:
                on_progress(len(rows))
        if not bool(torch.isfinite(vectors).all()):
            dtype = str(self.model.dtype).removeprefix("torch.")
            remedy = "Give another encoder." if dtype == "float32" else "Load it as float32."
            raise FloatingPointError(f"encoder: expected finite vectors, got NaN in {dtype}. {remedy}")
        return vectors

    @torch.inference_mode()
    def _encode_batch(self, tokens: list[list[int]]) -> Float[Tensor, "batch dim"]:
        token_ids, mask = pad_tokens(tokens, pad_id=self._pad_id)
        _check_token_ids(token_ids, self.model)
        mask = mask.to(self.device)
        output = self.model(input_ids=token_ids.to(self.device), attention_mask=mask.long())
        hidden = output.last_hidden_state  # [batch, token, dim]
        return pool_tokens(hidden, mask, pooling=self.config.pooling).cpu()

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id or 0)


def encoder_fingerprint(config: EncoderConfig) -> str:
    """The fingerprint that the encoder would have if it were loaded; raises as `TextEncoder.load` does."""
    folder = encoder_folder(config.name)
    return fingerprint_of(folder, weight_files(config.name, folder), **_named_settings(config))


def _named_settings(config: EncoderConfig) -> dict[str, Any]:
    """The settings that belong to the fingerprint."""
    return {name: getattr(config, name) for name in ("pooling", "max_tokens", "text_prefix")}


def _check_max_tokens(config: EncoderConfig, model: Any, tokenizer: Any) -> None:
    # RoBERTa's configuration counts two positions that no token can have; its tokenizer has the true limit.
    positions = getattr(model.config, "max_position_embeddings", None) or config.max_tokens
    limit = min(positions, tokenizer.model_max_length)
    if config.max_tokens > limit:
        raise ValueError(f"max_tokens: expected at most {limit} for {config.name}, got {config.max_tokens}. Lower it.")


def _check_prefix(encoder: TextEncoder) -> None:
    config = encoder.config
    n_tokens = len(encoder.tokenize([""])[0])
    if config.text_prefix and n_tokens >= config.max_tokens:
        raise ValueError(
            f"text_prefix: expected a prefix that leaves room for a text, got {n_tokens} of {config.max_tokens} "
            "tokens. Shorten it, or raise max_tokens."
        )


def _check_token_ids(token_ids: Int[Tensor, "batch token"], model: Any) -> None:
    # An index out of range ends a process that uses CUDA.
    n_known = model.get_input_embeddings().num_embeddings
    largest = int(token_ids.max())
    if largest >= n_known:
        raise ValueError(
            f"encoder: expected a tokenizer of this encoder, which knows {n_known:,} tokens, got token {largest:,}. "
            "Save both with save_pretrained, or give another encoder."
        )


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise TypeError("texts: expected a sequence of strings, got one string. Put it in a list.")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts: expected strings, got {type(text).__name__} in row {row}. Give '' for none.")
