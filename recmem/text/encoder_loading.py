"""Tokenizer and model of an encoder's folder, as transformers reads them: whole, or refused in words.

transformers takes seconds to import, and a model whose items have vectors, or whose texts are all cached, does without
it: so it is imported where an encoder is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

_POOLER = "pooler."
_LONGEST_CAUSE = 300
"""Characters of a library's error message that are shown."""


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer. Raises ValueError if transformers cannot load it, or it knows no words."""
    from transformers import AutoTokenizer

    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # broad: the tokenizers' library raises bare ones on files that it cannot use
        raise _unusable(folder, "a tokenizer", error) from error
    # What transformers makes of a folder without a tokenizer: all words are the same to it.
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ValueError(
            f"encoder: expected a tokenizer with a vocabulary in {folder}, got {len(tokenizer)} special tokens alone. "
            "Save the tokenizer into this folder too, with save_pretrained."
        )
    return tokenizer


def load_model(folder: Path, *, dtype: torch.dtype) -> Any:
    """The transformer without a head. Raises ValueError if the weights are not those of its configuration."""
    from transformers import AutoModel

    try:
        with _quiet():
            model, found = AutoModel.from_pretrained(
                folder,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                # Not `dtype`: while it loads, transformers would make that the default of all threads, whose new
                # tensors would be in bfloat16.
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, by name
            )
    except Exception as error:  # broad: a configuration may ask for anything of any part of transformers
        raise _unusable(folder, "a model", error) from error
    # Left to chance by transformers. A pooler is not read here, and many encoders come without one.
    found_otherwise = {name for name, *_ in found["mismatched_keys"]}
    missing = sorted(name for name in {*found["missing_keys"], *found_otherwise} if not name.startswith(_POOLER))
    if missing:
        got = "others" if found_otherwise else "none"
        raise ValueError(
            f"encoder: expected weights of all layers of config.json in {folder}, got {got} for {len(missing)}, "
            f"e.g. {missing[0]}. Download the encoder again."
        )
    for weight in model.parameters():  # buffers stay in float32
        weight.data = weight.data.to(dtype)
    return model


def _unusable(folder: Path, expected: str, error: Exception) -> ValueError:
    cause = str(error).partition("\n")[0][:_LONGEST_CAUSE].rstrip(".") or type(error).__name__
    return ValueError(
        f"encoder: expected {expected} that transformers can load in {folder}, got an error ({cause}). "
        "Save the encoder with save_pretrained, or give another one."
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Turns off transformers' progress bar and its tables of weights, and restores the settings.

    The bar would overwrite the caller's output, and what the tables report is checked here.
    """
    from transformers.utils import logging as transformers_logging

    switch: Any = transformers_logging  # its functions carry no types
    was_on = switch.is_progress_bar_enabled()
    verbosity = switch.get_verbosity()
    switch.disable_progress_bar()
    switch.set_verbosity_error()
    try:
        yield
    finally:
        switch.set_verbosity(verbosity)
        if was_on:
            switch.enable_progress_bar()
