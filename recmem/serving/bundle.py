"""The trained model as a folder: JSON, safetensors and LightGBM text, nothing pickled, every file under a checksum."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import Any

import lightgbm as lgb
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from feature_store import DataError
from feature_store.atomic_files import remove_abandoned
from feature_store.file_digest import file_digest
from recmem.config_json import from_json
from recmem.dataset.dataset import DatasetConfig
from recmem.matching.calibration import Calibration
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.user_memory import MemoryConfig
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from recmem.retrieval.retrieve import RetrievalConfig
from recmem.serving.self_test import check_self_test, self_test_sample
from recmem.text.encoder import EncoderConfig

FORMAT_VERSION = 2
"""Raised with every change of the folder's layout; a bundle of another one is refused."""
MANIFEST = "bundle.json"
WEIGHTS = "match.safetensors"
SELF_TEST = "self_test.safetensors"
RANKER = ("ranker.txt", "ranker.json")
FILES = (WEIGHTS, *RANKER, SELF_TEST)
"""The files under a checksum: all but `bundle.json`, which holds the checksums and one of itself."""

NAME = re.compile(r"[\w-]{1,64}", re.ASCII)
"""What a fingerprint may be: vectors are kept in a folder of its name."""
_RETRAIN = "Copy the whole bundle folder again, or train anew."


@dataclass(frozen=True)
class BundleConfig:
    """What a trained model is: everything but its weights."""

    encoder: EncoderConfig
    fingerprint: str
    """Of the embedding space that match module and ranker were trained in."""
    text_columns: tuple[str, ...]
    """Columns that make up an item's text, in their order."""
    number_columns: tuple[str, ...]
    """Numeric columns of items that the ranker reads."""
    match: MatchConfig
    memory: MemoryConfig
    retrieval: RetrievalConfig
    dataset: DatasetConfig
    calibration: Calibration
    store: str | None
    """Where the store was that it was trained from; None if it must be given."""
    store_versions: dict[str, int]
    """Table to version, as of the training."""
    learned_until: int
    """Microseconds: nothing of it was learned from what came after; where its test began."""
    recmem_version: str
    created: str
    """ISO 8601; given, so that the same training writes the same bundle."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model in memory."""

    config: BundleConfig
    module: MatchModule
    ranker: Ranker


def save_bundle(
    bundle: Bundle,
    folder: str | Path,
    *,
    sample_vectors: Float[Tensor, "text dim"],
    sample_pairs: PairFeatures,
) -> None:
    """Writes the bundle; the folder appears, or takes an older bundle's place, when it is whole.

    The samples (a few texts' unit vectors, the raw columns of a few queries) and what the model makes of them are kept:
    `load_bundle` must find the same. Raises DataError where something else than a bundle is in the folder.
    """
    target = Path(folder)
    if target.exists() and not (target / MANIFEST).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"bundle: expected no folder yet or a bundle, got others' files in {target}. Name another.")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent.glob(f".{escape(target.name)}-*"))
    unfinished = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    unfinished.mkdir()
    try:
        _write(bundle, unfinished, self_test_sample(bundle.module, bundle.ranker, sample_vectors, sample_pairs))
        _put_in_place(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read_config(folder: str | Path) -> BundleConfig:
    """What the bundle in a folder is, without its weights; raises DataError as `load_bundle` does."""
    root = Path(folder)
    return _read_config(_read_manifest(root), root)


def load_bundle(folder: str | Path) -> Bundle:
    """The bundle that `save_bundle` wrote, after its self-test: the stored inputs give the stored outputs here too.

    Raises DataError where the folder is no bundle, of another format, incomplete, changed, or computes otherwise.
    """
    root = Path(folder)
    manifest = _read_manifest(root)
    config = _read_config(manifest, root)
    _check_files(manifest, root)
    try:
        module = MatchModule.from_weights(config.match, load_file(root / WEIGHTS))
        ranker = Ranker.from_files({name: (root / name).read_text(encoding="utf-8") for name in RANKER})
        sample = load_file(root / SELF_TEST)
    except (RuntimeError, SafetensorError, lgb.basic.LightGBMError, ValueError, KeyError) as error:
        cause = str(error).partition("\n")[0]
        raise _refused(root, "weights and ranker of its own configuration", cause) from error
    bundle = Bundle(config, module.eval(), ranker)
    check_self_test(bundle.module, bundle.ranker, sample, where=str(root))
    return bundle


def _write(bundle: Bundle, folder: Path, sample: dict[str, Tensor]) -> None:
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in bundle.module.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    save_file(sample, folder / SELF_TEST)
    for name, text in bundle.ranker.to_files().items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    manifest = {
        "format_version": FORMAT_VERSION,
        "config": asdict(bundle.config),
        "sha256": {name: file_digest(folder / name) for name in FILES},
    }
    manifest["checksum"] = _checksum(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _put_in_place(unfinished: Path, target: Path) -> None:
    if not target.exists():
        os.replace(unfinished, target)
        return
    old = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    os.replace(target, old)
    os.replace(unfinished, target)
    shutil.rmtree(old)


def _read_manifest(root: Path) -> dict[str, Any]:
    path = root / MANIFEST
    if not path.is_file():
        raise _refused(root, f"a folder with {MANIFEST}", "none", "Give the folder OUT/bundle of a training run.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _refused(root, f"{MANIFEST} to be JSON", str(error)) from error
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise _refused(root, f"a format_version in {MANIFEST}", "none")
    if manifest["format_version"] != FORMAT_VERSION:
        remedy = "Load it with the version of recmem that wrote it, or train anew."
        raise _refused(root, f"format_version {FORMAT_VERSION}", repr(manifest["format_version"]), remedy)
    if manifest.get("checksum") != _checksum(manifest):
        raise _refused(root, f"{MANIFEST} as it was written", "a changed one")
    return manifest


def _read_config(manifest: dict[str, Any], root: Path) -> BundleConfig:
    try:
        config: BundleConfig = from_json(BundleConfig, manifest.get("config"))
        if not config.text_columns:
            raise ValueError("config.text_columns: expected at least one, got none")
        if not NAME.fullmatch(config.fingerprint):
            raise ValueError(f"config.fingerprint: expected a short word, got {config.fingerprint[:80]!r}")
    except (TypeError, ValueError) as error:
        raise _refused(root, "a configuration that this version of recmem knows", str(error)) from error
    return config


def _check_files(manifest: dict[str, Any], root: Path) -> None:
    listed = manifest.get("sha256")
    if not isinstance(listed, dict) or set(listed) != set(FILES):
        raise _refused(root, f"checksums of {', '.join(FILES)}", "others")
    for name in FILES:
        path = root / name
        if not path.is_file():
            raise _refused(root, f"the file {name}", "none")
        if path.resolve().parent != root.resolve():
            raise _refused(root, f"{name} inside the folder", "a link that leads outside")
        if file_digest(path) != listed[name]:
            raise _refused(root, f"{name} as it was written", "another content")


def _checksum(manifest: dict[str, Any]) -> str:
    rest = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _refused(root: Path, expected: str, got: str, remedy: str = _RETRAIN) -> DataError:
    return DataError(f"bundle: expected {expected}, got {got} in {root}. {remedy}")
