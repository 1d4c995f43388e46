"""What a tuning has done so far, for a run that is resumed: one safetensors file a part, written atomically."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

_KEY = "key"
_FACTS = "facts"


class TuningProgress:
    """Tensors and facts by name, in a folder that one process at a time writes to.

    `key` names the work: what another work left counts as not there.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key

    def read(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What `write` last wrote under this name for the same work; None if there is nothing."""
        try:
            with safe_open(self._path(name), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get(_KEY) != self._key:
                    return None
                tensors = {tensor: file.get_tensor(tensor) for tensor in file.keys()}  # noqa: SIM118 - it is no dict
                return tensors, json.loads(metadata[_FACTS])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def write(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replaces what is under this name as a whole: a kill leaves the old content or the new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        owned = {key: tensor.detach().to("cpu", copy=True).contiguous() for key, tensor in tensors.items()}
        # Always the same name: of many kills, one unfinished file is left and not one each.
        unfinished = self._folder / f".{name}.unfinished"
        try:
            with unfinished.open("wb") as file:
                file.write(save(owned, {_KEY: self._key, _FACTS: json.dumps(facts)}))
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, self._path(name))
        finally:
            unfinished.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Removes what is under this name, if anything."""
        self._path(name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes the folder, an unfinished file of a killed run included."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"
