"""Texts to unit vectors, with any Hugging Face text encoder."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
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
from recmem.text.text_tokenizer import TextTokenizer, library_threads
from recmem.text.token_batches import Pooling, pad_rows, pool_tokens, token_batches
from recmem.text.token_rows import TokenRows
from recmem.text.torch_device import ComingTensor, Dtype, resolve_device, resolve_dtype, sent

_LENGTH_AS_SAVED = "256, or fewer if sentence-transformers saved fewer with the encoder"
_AS_SAVED = "as sentence-transformers saved it with the encoder"
_CHUNK_TEXTS = 8192
_BATCH_TOKENS: Mapping[str, int] = {"cpu": 2048, "mps": 8192, "cuda": 131072}
_CHUNKS_IN_FLIGHT: Mapping[str, int] = {"cpu": 0, "mps": 0, "cuda": 2}
"""Chunks that the device computes, or copies, while the next one is started."""


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
        # On a CPU the model needs all cores, and is slower than one thread of the tokenizer.
        n_threads = library_threads() if self.device.type == "cuda" else 1
        self._text_tokenizer = TextTokenizer(tokenizer, max_tokens=config.max_tokens, n_threads=n_threads)

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
        encoder = copy.copy(self)  # with the same tokenizer, which two threads must not change at once
        encoder.model = with_tensors(copy.deepcopy(self.model), tuning, tensors)
        encoder.fingerprint = tuned_fingerprint(self.fingerprint, tuning, tensors)
        encoder.earlier_fingerprint = ""
        return encoder

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
            return self._finished(self._started(self._tokens_of(texts), on_progress), on_progress)
        vectors = torch.empty(len(texts), self.dim)
        parts = (texts[start : start + _CHUNK_TEXTS] for start in range(0, len(texts), _CHUNK_TEXTS))
        start = 0
        for part in self.encode_each(parts, on_progress=on_progress):
            vectors[start : start + len(part)] = part
            start += len(part)
        return vectors

    def encode_each(
        self, parts: Iterable[Sequence[str]], *, on_progress: Callable[[int], None] | None = None
    ) -> Generator[Float[Tensor, "text dim"], None, None]:
        """`encode` of each part, in order. The next parts are tokenized while one is encoded.

        On CUDA two further parts are computed and copied while one is given out, and `on_progress` is called once for
        each part.
        """
        in_flight: deque[_Chunk] = deque()
        with closing(ahead(self._tokens_of(part) for part in parts)) as tokenized:
            for tokens in tokenized:
                in_flight.append(self._started(tokens, on_progress))
                if len(in_flight) > _CHUNKS_IN_FLIGHT[self.device.type]:
                    yield self._finished(in_flight.popleft(), on_progress)
            while in_flight:
                yield self._finished(in_flight.popleft(), on_progress)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, including special tokens: at least one, at most `config.max_tokens`.

        Only the first `LONGEST_TEXT` characters of a text are read.
        """
        return self._tokens_of(texts).to_lists()

    def _tokens_of(self, texts: Sequence[str]) -> TokenRows:
        _check_texts(texts)
        return self._text_tokenizer.tokens_of(texts, prefix=self.config.text_prefix)

    def _started(self, tokens: TokenRows, on_progress: Callable[[int], None] | None) -> _Chunk:
        """Gives the chunk's batches to the device. Nothing here waits for CUDA but what the model itself waits for."""
        _check_token_ids(tokens, self.model)
        lengths = tokens.lengths
        batches = [np.array(rows) for rows in token_batches(lengths.tolist(), budget=_BATCH_TOKENS[self.device.type])]
        # One copy for the whole chunk; batches are padded where they are needed.
        ids = sent(torch.from_numpy(tokens.ids), self.device)
        order = np.concatenate([np.empty(0, np.int64), *batches])
        rows = sent(torch.from_numpy(np.stack([order, tokens.offsets[order], lengths[order]])), self.device)
        vectors = torch.empty(len(tokens), self.dim, device=self.device)
        end = 0
        for batch in batches:
            begin = end
            end += len(batch)
            places, starts, n_tokens = rows[:, begin:end]
            longest = int(lengths[batch[0]])
            token_ids, mask = pad_rows(ids, starts, n_tokens, longest=longest, pad_id=self._pad_id)
            vectors[places] = self._encode_batch(token_ids, mask)
            if on_progress is not None and self.device.type != "cuda":  # CUDA has not computed it yet
                on_progress(len(batch))
        return _Chunk(ComingTensor(vectors), ComingTensor(torch.isfinite(vectors).all()))

    def _finished(self, chunk: _Chunk, on_progress: Callable[[int], None] | None) -> Float[Tensor, "text dim"]:
        vectors = chunk.vectors.wait()
        if not bool(chunk.is_finite.wait()):
            dtype = str(self.model.dtype).removeprefix("torch.")
            remedy = "Give another encoder." if dtype == "float32" else "Load it as float32."
            raise FloatingPointError(f"encoder: expected finite vectors, got NaN in {dtype}. {remedy}")
        if on_progress is not None and self.device.type == "cuda":
            on_progress(len(vectors))
        return vectors

    @torch.inference_mode()
    def _encode_batch(
        self, token_ids: Int[Tensor, "batch token"], mask: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch dim"]:
        output = self.model(input_ids=token_ids, attention_mask=mask.long())
        hidden = output.last_hidden_state  # [batch, token, dim]
        return pool_tokens(hidden, mask, pooling=self.config.pooling)

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id or 0)


@dataclass(frozen=True)
class _Chunk:
    """Vectors of texts in the texts' order, and whether all are finite."""

    vectors: ComingTensor
    is_finite: ComingTensor


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


def _check_token_ids(tokens: TokenRows, model: Any) -> None:
    # An index out of range ends a process that uses CUDA.
    n_known = model.get_input_embeddings().num_embeddings
    largest = int(tokens.ids.max(initial=0))
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
