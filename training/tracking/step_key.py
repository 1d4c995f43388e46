"""The key of a step's work: equal keys mean equal inputs, parameters and code, so that one result serves both."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from feature_store.file_digest import file_digest
from training.tracking.parameters import is_instance_of_dataclass, plain_parameters

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_KEY_CHARS = 32


def step_key(
    name: str,
    inputs: Mapping[str, str],
    parameters: DataclassInstance | Mapping[str, Any],
    modules: Sequence[ModuleType | str],
) -> str:
    """32 hex digits that change with the step's name, its inputs, its parameters and the files of the given code.

    `inputs` are digests or versions by name, such as `{"store": store.digest()}`; anything else that the result depends
    on, such as a library's version, belongs there too. A package counts with all of its files, a module with its own.
    Raises TypeError for a parameter that JSON cannot hold, and ValueError for a module without a source file.
    """
    work = {
        "step": name,
        "inputs": dict(inputs),
        "parameters": plain_parameters(parameters),
        "code": {_name(module): code_digest(module) for module in modules},
    }
    text = json.dumps(work, sort_keys=True, ensure_ascii=True, default=_as_json)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_CHARS]


def code_digest(module: ModuleType | str) -> str:
    """A digest of the files of a package or module and their paths inside it, wherever it is installed."""
    origin = _origin(module)
    return _folder_digest(origin.parent) if origin.name == "__init__.py" else file_digest(origin)


def outputs_digest(outputs: Sequence[Path]) -> str:
    """A digest of the content of these files and folders; "" if one is missing or is a folder without files."""
    digests = [file_digest(path) if path.is_file() else _folder_digest(path) for path in outputs]
    if not all(digests):
        return ""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:_KEY_CHARS]


def _folder_digest(folder: Path) -> str:
    """Of the paths and contents of all files in the folder but Python's caches; "" if there are none."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    if not files:
        return ""
    lines = [f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _name(module: ModuleType | str) -> str:
    return module if isinstance(module, str) else module.__name__


def _origin(module: ModuleType | str) -> Path:
    spec = importlib.util.find_spec(module) if isinstance(module, str) else module.__spec__
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise ValueError(
            f"modules: expected modules with a source file, got {_name(module)!r}. Name a package written in Python."
        )
    return Path(spec.origin)


def _as_json(value: Any) -> Any:
    if is_instance_of_dataclass(value):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(
        f"parameters: expected values that JSON can hold, got {type(value).__name__}. Give numbers, text or lists."
    )
