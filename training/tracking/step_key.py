"""The name of a step's work: equal keys mean equal inputs, parameters and code, so one result serves both."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from feature_store.file_digest import file_digest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_KEY_CHARS = 32


def step_key(
    name: str,
    inputs: Mapping[str, str],
    parameters: DataclassInstance | Mapping[str, Any],
    modules: Sequence[ModuleType | str],
) -> str:
    """32 hex digits that change with the step's name, its inputs, its parameters and the files of the named code.

    `inputs` are digests or versions by name, such as `{"store": store.digest()}`; put there too what else the result
    hangs on, such as the version of a library. A package counts with all of its files, a module with its one.
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


def plain_parameters(parameters: DataclassInstance | Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by name; dataclasses, nested ones too, as dicts."""
    return asdict(parameters) if is_dataclass(parameters) else dict(parameters)


def code_digest(module: ModuleType | str) -> str:
    """A digest of the files of a package or module, by their paths within it: the folder that holds it is no part."""
    origin = _origin(module)
    return _folder_digest(origin.parent) if origin.name == "__init__.py" else file_digest(origin)


def outputs_digest(outputs: Sequence[Path]) -> str:
    """A digest of what stands in these files and folders; "" where one of them is missing or has no file in it."""
    digests = [file_digest(path) if path.is_file() else _folder_digest(path) for path in outputs]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:_KEY_CHARS] if all(digests) else ""


def _folder_digest(folder: Path) -> str:
    """Of the paths and the content of all files in the folder, caches of Python left out; "" without any."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    lines = [f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def _name(module: ModuleType | str) -> str:
    return module if isinstance(module, str) else module.__name__


def _origin(module: ModuleType | str) -> Path:
    spec = importlib.util.find_spec(module) if isinstance(module, str) else module.__spec__
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise ValueError(f"modules: expected modules with a source file, got {_name(module)!r}. Name code of ours.")
    return Path(spec.origin)


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(
        f"parameters: expected values that JSON can hold, got {type(value).__name__}. Give numbers, text or lists."
    )
