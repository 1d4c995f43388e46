"""`bundle.json`: the bundle's configuration, its format and a checksum of every file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from feature_store.file_digest import file_digest
from feature_store.signals import FIRST_LIST, RULES_BEFORE
from recmem.config_json import parse_json
from recmem.serving.bundle_files import read_file, refused

FORMAT_VERSION = 3
"""Raised with every change of the folder's layout. Bundles of the version before are read too, older ones refused."""
MANIFEST = "bundle.json"
WEIGHTS = "match.safetensors"
SELF_TEST = "self_test.safetensors"
RANKER = ("ranker.txt", "ranker.json")
ENCODER = "encoder.safetensors"
"""What was learned in tuning the text encoder; only in bundles whose encoder was tuned."""
REFERENCE = "reference.json"
"""What the rows were like that the model was measured on; earlier bundles have none. See `recmem.reference`."""
FILES = (WEIGHTS, *RANKER, SELF_TEST)
"""The files of every bundle under a checksum: all but `bundle.json`, which holds the checksums and one of itself."""
MAX_BYTES = {
    MANIFEST: 2**20,
    WEIGHTS: 2**28,
    RANKER[0]: 2**25,
    RANKER[1]: 2**22,
    SELF_TEST: 2**27,
    ENCODER: 2**31,
    REFERENCE: 2**25,
}
"""Of each file. A few MB are usual, and for a tuned encoder what its weights have; a larger file is not read."""
_ADDED: dict[str, dict[str, Any]] = {
    "": {"tuning": None, "tuned_fingerprint": None, "vectors": None, "language": "en"},
    "encoder": {"text_prefix": ""},
    "match": {"similarity_dim": None},
    "memory": {"declared": False, "consolidated": 0, "knowledge": 0, "not_clicked": 0, "negatives": True},
    "dataset": {
        "candidate_features": [],
        "user_features": [],
        "interests": "",
        "knowledge": None,
        "fact_slots": 0,
        "not_clicked_slots": 0,
        "repeats": False,
        "has_impressions": False,
    },
    "dataset.signals": RULES_BEFORE | FIRST_LIST,
}
"""Settings that earlier bundles lack, by the part of the configuration, each with the value that it then had."""


def write_manifest(root: Path, config: dict[str, Any]) -> None:
    """Writes `bundle.json` beside the bundle's other files, which must be complete."""
    manifest = {
        "format_version": FORMAT_VERSION,
        "config": config,
        "sha256": {name: file_digest(root / name) for name in _files_of(config, (root / REFERENCE).is_file())},
    }
    manifest["checksum"] = checksum(manifest)
    (root / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest, with its configuration in today's names.

    Raises DataError if there is none, it was changed, or its format is too old or too new.
    """
    if not (root / MANIFEST).is_file():
        raise refused(root, f"the file {MANIFEST}", "none", "Give the folder OUT/bundle of a training run.")
    content = read_file(root, MANIFEST, at_most=MAX_BYTES[MANIFEST])
    try:
        manifest = parse_json(content.decode("utf-8"), MANIFEST)
    except ValueError as error:
        raise refused(root, f"JSON in {MANIFEST}", f"invalid text ({error.__cause__ or error})") from error
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise refused(root, f"a format_version in {MANIFEST}", "none")
    version = manifest["format_version"]
    if type(version) is not int or version not in (FORMAT_VERSION, FORMAT_VERSION - 1):
        expected = f"format_version {FORMAT_VERSION} or {FORMAT_VERSION - 1}"
        remedy = "Load it with the version of recmem that wrote it, or train again."
        raise refused(root, expected, repr(version)[:80], remedy)
    if manifest.get("checksum") != checksum(manifest):
        raise refused(root, f"an unmodified {MANIFEST}", "one whose checksum does not match")
    config = manifest.get("config")
    if version != FORMAT_VERSION:
        config = _from_version_2(config)
    return manifest | {"config": _with_added_settings(config)}


def read_files(manifest: dict[str, Any], root: Path) -> dict[str, bytes]:
    """The content of every file of a bundle but the manifest, each as it was written; of a reference if it has one.

    What was hashed is what is returned: the files are not read a second time. Raises DataError if one is missing, was
    changed, is no regular file of the folder, or is larger than `MAX_BYTES`.
    """
    listed = manifest.get("sha256")
    files = _files_of(manifest["config"], isinstance(listed, dict) and REFERENCE in listed)
    if not isinstance(listed, dict) or set(listed) != set(files):
        got = f"those of {', '.join(map(repr, listed))[:200] or 'no file'}" if isinstance(listed, dict) else "none"
        raise refused(root, f"checksums of {', '.join(files)} in {MANIFEST}", got)
    contents = {}
    for name in files:
        content = read_file(root, name, at_most=MAX_BYTES[name])
        if hashlib.sha256(content).hexdigest() != listed[name]:
            raise refused(root, f"an unmodified {name}", "one whose checksum does not match")
        contents[name] = content
    return contents


def checksum(manifest: dict[str, Any]) -> str:
    """SHA-256 of the manifest without its own checksum."""
    rest = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _files_of(config: dict[str, Any], has_reference: bool) -> tuple[str, ...]:
    """The files under a checksum of a bundle with this configuration."""
    tuned = () if config["tuning"] is None else (ENCODER,)
    return (*FILES, *tuned, *((REFERENCE,) if has_reference else ()))


def _with_added_settings(config: Any) -> Any:
    """The configuration with the settings that were added since it was written."""
    if not isinstance(config, dict):
        return config
    filled = config
    for path, settings in _ADDED.items():
        filled = _filled(filled, path.split(".") if path else [], settings)
    return filled


def _filled(part: Any, path: list[str], settings: dict[str, Any]) -> Any:
    """A copy of the part in which the settings are added to the object at this path, if there is one."""
    if not isinstance(part, dict):
        return part
    if not path:
        return settings | part
    first, *rest = path
    return part | {first: _filled(part[first], rest, settings)} if first in part else part


def _from_version_2(config: Any) -> Any:
    """The configuration of a bundle of format 2 in today's names, which is all that differs."""
    if not isinstance(config, dict):
        return config
    renamed = {"dataset" if name == "scene" else name: value for name, value in config.items()}
    memory = config.get("memory")
    if isinstance(memory, dict):
        renamed["memory"] = {"retrieved_from" if name == "searched" else name: n for name, n in memory.items()}
    return renamed
