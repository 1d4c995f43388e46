"""Pooling and length of an encoder as its folder gives them, where sentence-transformers has saved them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from feature_store import DataError
from recmem.text.encoder import EncoderConfig
from recmem.text.encoder_files import DEFAULT_ENCODER, encoder_folder, read_json
from recmem.text.token_batches import Pooling

_MODULES = "modules.json"
_LENGTH = "sentence_bert_config.json"
_POOLING_FOLDER = "1_Pooling"
_KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
"""Modules of sentence-transformers that do what is done here; another one, such as `Dense`, changes the vectors."""
_OLD_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
"""How versions before 6 of sentence-transformers wrote the mode: a switch for each."""


@dataclass(frozen=True)
class SavedSettings:
    """What sentence-transformers has saved with an encoder; empty in a folder that it did not write."""

    pooling: str | None = None
    """`mean`, `cls` or `last`, or one that does not exist here; several are joined by `+`."""
    max_tokens: int | None = None
    other_modules: tuple[str, ...] = ()
    """Modules that change a vector further, and that are not applied here."""


def saved_settings(folder: Path) -> SavedSettings:
    """What sentence-transformers has saved in an encoder's folder. Raises ValueError if its files cannot be read."""
    modules = read_json(folder / _MODULES) if (folder / _MODULES).is_file() else []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ValueError(f"encoder.{_MODULES}: expected a list of modules, got {str(modules)[:80]!r}. Write it again.")
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    places = [module.get("path") for kind, module in zip(kinds, modules, strict=True) if kind == "Pooling"]
    # A name alone: a path of someone else's file must not lead out of the folder.
    name = Path(str(places[0])).name if places else _POOLING_FOLDER
    return SavedSettings(
        pooling=_saved_pooling(folder / name / "config.json"),
        max_tokens=_saved_length(folder / _LENGTH),
        other_modules=tuple(kind for kind in kinds if kind not in _KNOWN_MODULES),
    )


def encoder_config(
    name: str | None = None, *, pooling: str | None = None, max_tokens: int | None = None, text_prefix: str = ""
) -> EncoderConfig:
    """The configuration of an encoder. What is None is as its folder says; else the mean, and 256 tokens at most.

    Raises ValueError if a setting is out of range, DataError if the encoder cannot be found or its files not be read.
    """
    name = EncoderConfig.name if name is None else name
    saved = SavedSettings()
    if name and (pooling is None or max_tokens is None):
        saved = _saved_with(name)
    if pooling is None:
        pooling = saved.pooling if saved.pooling in get_args(Pooling) else EncoderConfig.pooling
    if max_tokens is None:
        # Not more than the default even if the encoder could: that takes time and memory, and most items are short.
        max_tokens = min(EncoderConfig.max_tokens, saved.max_tokens or EncoderConfig.max_tokens)
    return EncoderConfig(name, pooling=cast(Any, pooling), max_tokens=max_tokens, text_prefix=text_prefix)


def setting_warnings(config: EncoderConfig) -> Iterator[str]:
    """A sentence or two about each setting that is not the one that the encoder was saved with.

    Raises DataError if the encoder cannot be found or its files not be read.
    """
    saved = _saved_with(config.name)
    if saved.pooling is not None and saved.pooling not in get_args(Pooling):
        yield (
            f"pooling: {config.name} was saved with {saved.pooling!r}, which recmem does not have, and is used with "
            f"{config.pooling!r}: its vectors may be poor. Another encoder is safer."
        )
    elif saved.pooling is not None and saved.pooling != config.pooling:
        yield (
            f"pooling: {config.name} was saved with {saved.pooling!r} and is used with {config.pooling!r}: its vectors "
            "may be poor. Leave the setting out to take the encoder's own."
        )
    if saved.max_tokens is not None and config.max_tokens > saved.max_tokens:
        yield (
            f"max_tokens: {config.name} was saved with {saved.max_tokens} tokens at most and is used with "
            f"{config.max_tokens}, longer texts than it was made for. Lower the setting, or leave it out."
        )
    if saved.other_modules:
        yield (
            f"encoder: {config.name} was saved with {', '.join(saved.other_modules)} after its pooling, which recmem "
            "leaves out: its vectors are others than those of sentence-transformers."
        )


def _saved_with(name: str) -> SavedSettings:
    if name == DEFAULT_ENCODER:  # its package may be missing, which is reported when the encoder is loaded
        return SavedSettings(EncoderConfig.pooling, EncoderConfig.max_tokens)
    try:
        return saved_settings(encoder_folder(name))
    except (OSError, ValueError) as error:
        raise DataError(str(error)) from error


def _saved_pooling(path: Path) -> str | None:
    if not path.is_file():
        return None
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise ValueError(f"encoder.{path.parent.name}: expected an object in config.json, got a value. Write it again.")
    mode = settings.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else mode
    if not isinstance(modes, list):
        modes = [name for switch, name in _OLD_MODES.items() if settings.get(switch) is True]
    return "+".join("last" if mode == "lasttoken" else str(mode) for mode in modes)[:80] or None


def _saved_length(path: Path) -> int | None:
    settings = read_json(path) if path.is_file() else None
    length = settings.get("max_seq_length") if isinstance(settings, dict) else None
    return length if type(length) is int and length > 0 else None
