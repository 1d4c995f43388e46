"""A trained model as a folder of JSON, safetensors and LightGBM text: no pickle, and a checksum for every file."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from feature_store import DataError
from feature_store.atomic_files import unfinished_beside
from feature_store.item_vectors import space_fingerprint
from recmem.config_json import from_json
from recmem.dataset.dataset import DatasetConfig
from recmem.matching.calibration import Calibration
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.user_memory import MemoryConfig
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from recmem.ranking.tree_checks import check_trees
from recmem.reference.reference import Reference
from recmem.retrieval.interleave import RetrievalConfig
from recmem.serving.bundle_files import refused
from recmem.serving.config_limits import check_limits
from recmem.serving.manifest import (
    ENCODER,
    MANIFEST,
    RANKER,
    REFERENCE,
    SELF_TEST,
    WEIGHTS,
    read_files,
    read_manifest,
    write_manifest,
)
from recmem.serving.phrases import Language
from recmem.serving.self_test import check_sample, check_self_test, self_test_sample
from recmem.serving.tensor_files import ENCODER_DTYPES, read_tensors
from recmem.text.encoder import EncoderConfig
from recmem.text.encoder_tuning import EncoderTuning, tuned_fingerprint
from recmem.text.tuned_encoder import halved

_FINGERPRINT = re.compile(r"[\w-]{1,64}", re.ASCII)
"""A fingerprint names the folder of its cached vectors, so it must be a plain word."""
_UNREADABLE = (
    SafetensorError,
    ArithmeticError,
    IndexError,
    KeyError,
    MemoryError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What the libraries raise on content that does not fit, whatever the checks before them may have missed."""
_LONGEST_CAUSE = 400
"""Characters of a library's error message that are shown."""
_OTHER_VERSION = "Load the bundle with the version of recmem that wrote it, or train again."


@dataclass(frozen=True)
class BundleConfig:
    """Everything that a trained model is, except its weights."""

    encoder: EncoderConfig
    fingerprint: str
    """Identifies the frozen encoder's embedding space, in which the match module and the ranker were trained."""
    text_columns: tuple[str, ...]
    """Columns that make up an item's text, in order."""
    number_columns: tuple[str, ...]
    """Numeric columns of items that the ranker reads."""
    match: MatchConfig
    memory: MemoryConfig
    retrieval: RetrievalConfig
    dataset: DatasetConfig
    calibration: Calibration
    store: str | None
    """Path of the store that it was trained on; None if the caller must give one."""
    store_versions: dict[str, int]
    """Version of each table at training time."""
    learned_until: int
    """Microseconds. Nothing after this time was learned from: the test period begins here."""
    recmem_version: str
    created: str
    """ISO 8601. An argument, not the current time, so that repeating a training writes the same bundle."""
    tuning: EncoderTuning | None = None
    """Which weights of the encoder were tuned; None if the match module reads the frozen encoder's vectors alone."""
    tuned_fingerprint: str | None = None
    """Identifies the tuned encoder's embedding space, whose vectors the module reads beside the frozen ones."""
    vectors: str | None = None
    """The name of the items' vectors in the store, which stand in for an encoder's; None with a text encoder."""
    language: Language = "en"
    """Of the words of reasons; earlier bundles are English."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model in memory."""

    config: BundleConfig
    module: MatchModule
    ranker: Ranker
    tuned: Mapping[str, Tensor] = field(default_factory=dict)
    """What was learned in tuning the encoder, see `recmem.text.encoder_tuning`: float32; empty if it stayed frozen."""
    reference: Reference | None = None
    """What the rows were like that the model was measured on, for `recmem monitor`; None in earlier bundles."""


def save_bundle(
    bundle: Bundle,
    folder: str | Path,
    *,
    sample_vectors: Float[Tensor, "text dim"],
    sample_pairs: PairFeatures,
) -> None:
    """Writes the bundle atomically, replacing an older bundle in the same folder.

    The samples (unit vectors of a few texts, features of a few queries) are stored with the model's scores for them:
    `load_bundle` checks that it computes the same. Raises DataError if the folder holds anything but a bundle.
    """
    with _replacing(Path(folder)) as unfinished:
        _write(bundle, unfinished, self_test_sample(bundle.module, bundle.ranker, sample_vectors, sample_pairs))


def copy_bundle(source: Path, folder: Path) -> None:
    """Copies a bundle, replacing an older one in the folder atomically; raises DataError as `save_bundle` does."""
    with _replacing(folder) as unfinished:
        shutil.copytree(source, unfinished, dirs_exist_ok=True)


def copy_completed(source: Path, folder: Path, calibration: Calibration, reference: Reference | None) -> None:
    """Copies a bundle as `copy_bundle` does, with another calibration and a reference.

    Weights, ranker and self-test stay: none of them depends on the calibration.
    """
    config = replace(read_config(source), calibration=calibration)
    with _replacing(folder) as unfinished:
        shutil.copytree(source, unfinished, dirs_exist_ok=True)
        (unfinished / REFERENCE).unlink(missing_ok=True)
        if reference is not None:
            (unfinished / REFERENCE).write_text(reference.to_json(), encoding="utf-8", newline="\n")
        write_manifest(unfinished, asdict(config))


def remove_bundle(folder: Path) -> None:
    """Removes a bundle at one stroke: a process that is killed meanwhile leaves no half of it. None there is fine."""
    if not folder.exists():
        return
    gone = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    os.replace(folder, gone)
    shutil.rmtree(gone)


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A new folder for the block to write to, which then takes the place of `target`."""
    if target.exists() and not (target / MANIFEST).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(
            f"bundle: expected a new folder or an older bundle, got other files in {target}. Give another folder."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_beside(target)
    unfinished.mkdir()
    try:
        yield unfinished
        _put_in_place(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def read_config(folder: str | Path) -> BundleConfig:
    """The configuration of the bundle in a folder; raises DataError as `load_bundle` does."""
    root = Path(folder)
    return _read_config(read_manifest(root), root)


def load_bundle(folder: str | Path) -> Bundle:
    """The bundle that `save_bundle` wrote, once it has passed its self-test.

    A bundle may come from anyone: its checksums show that it was copied whole, not who made it. So every file is
    checked before compiled code reads it.

    Raises DataError if the folder is not a bundle, has a format that cannot be read, is incomplete, changed or not of
    the form in which `save_bundle` writes, or if the model computes other scores than it did where it was trained.
    """
    root = Path(folder)
    manifest = read_manifest(root)
    config = _read_config(manifest, root)
    files = read_files(manifest, root)
    try:
        module = MatchModule.from_weights(config.match, read_tensors(files[WEIGHTS], WEIGHTS))
        module.require_kinds(config.memory.holds_kind)
        texts = {name: files[name].decode("utf-8") for name in RANKER}
        n_steps = check_trees(texts[RANKER[0]])
        ranker = Ranker.from_checked_files(texts)
        sample = read_tensors(files[SELF_TEST], SELF_TEST)
        check_sample(sample, config.match, ranker.features, n_steps=n_steps)
        tuned = _read_tuned(files[ENCODER], config, root) if config.tuning is not None else {}
        reference = Reference.from_json(files[REFERENCE].decode("utf-8")) if REFERENCE in files else None
        bundle = Bundle(config, module.eval(), ranker, tuned, reference)
        check_self_test(bundle.module, bundle.ranker, sample, where=str(root))
    except DataError:
        raise
    except _UNREADABLE as error:
        raise _misfit(root, "weights and a ranker that fit its configuration", error) from error
    return bundle


def _write(bundle: Bundle, folder: Path, sample: dict[str, Tensor]) -> None:
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in bundle.module.state_dict().items()}
    # Not `save_file`, which gives a file to its owner alone, whatever the umask.
    (folder / WEIGHTS).write_bytes(save(weights))
    (folder / SELF_TEST).write_bytes(save(sample))
    if bundle.config.tuning is not None:
        (folder / ENCODER).write_bytes(save({name: halved(tensor) for name, tensor in bundle.tuned.items()}))
    for name, text in bundle.ranker.to_files().items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    write_manifest(folder, asdict(bundle.config))


def _read_tuned(content: bytes, config: BundleConfig, root: Path) -> dict[str, Tensor]:
    """The tuned tensors; whether they fit the encoder shows when its weights are read, see `LazyEncoder`.

    Raises DataError unless they are those that the fingerprint names.
    """
    tensors = read_tensors(content, ENCODER, ENCODER_DTYPES)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"encoder.{name[:60]!r}: expected finite numbers, got NaN or infinity. Train again.")
    assert config.tuning is not None
    # Now, and not at the first text that no cache holds: that may be days later, in the middle of serving.
    fingerprint = tuned_fingerprint(config.fingerprint, config.tuning, tensors)
    if fingerprint != config.tuned_fingerprint:
        raise refused(root, f"{ENCODER} with fingerprint {config.tuned_fingerprint}", fingerprint)
    return tensors


def _put_in_place(unfinished: Path, target: Path) -> None:
    if not target.exists():
        os.replace(unfinished, target)
        return
    old = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    os.replace(target, old)
    os.replace(unfinished, target)
    shutil.rmtree(old)


def _read_config(manifest: dict[str, Any], root: Path) -> BundleConfig:
    try:
        config: BundleConfig = from_json(BundleConfig, manifest.get("config"))
        if not config.text_columns and config.vectors is None:
            raise ValueError("config.text_columns: expected at least one column, got none")
        for name in ("fingerprint", "tuned_fingerprint"):
            fingerprint = getattr(config, name)
            if fingerprint is not None and not _FINGERPRINT.fullmatch(fingerprint):
                raise ValueError(
                    f"config.{name}: expected at most 64 letters, digits, - and _, got {fingerprint[:80]!r}"
                )
        _check_vectors(config)
        check_limits(config)
    except _UNREADABLE as error:
        raise _misfit(root, "a configuration of this version of recmem", error) from error
    return config


def _check_vectors(config: BundleConfig) -> None:
    """Raises ValueError unless the vectors in place of an encoder are those that the fingerprint names."""
    if config.vectors is None:
        return
    if config.tuning is not None:
        raise ValueError(f"config.tuning: expected none with vectors {config.vectors!r}, got {config.tuning.kind}")
    expected = space_fingerprint(config.vectors, config.match.dim)
    if config.fingerprint != expected:
        raise ValueError(f"config.fingerprint: expected {expected} of vectors, got {config.fingerprint}")


def _misfit(root: Path, expected: str, error: Exception) -> DataError:
    """The error for a bundle whose parts do not fit together, or not this version of recmem."""
    first = str(error).partition("\n")[0][:_LONGEST_CAUSE] or type(error).__name__
    # Names in the bundle may hold what controls a terminal.
    cause = "".join(character if character.isprintable() else repr(character)[1:-1] for character in first)
    if ": expected " not in cause:
        return refused(root, expected, f"an error ({cause.rstrip('.')})", _OTHER_VERSION)
    # An error in our form keeps it. Its own remedy addresses a user who chooses the settings.
    problem, _, remedy = cause.rpartition(". ")
    if not remedy.endswith(".") or ": expected " not in problem:
        problem = cause
    problem = problem.rstrip(".")
    return DataError(f"bundle.{problem} in {root}. {_OTHER_VERSION}")
