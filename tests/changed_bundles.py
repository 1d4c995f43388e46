"""Bundles that tests have changed: manifests rewritten, files signed again, formats of earlier versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feature_store.file_digest import file_digest
from recmem.serving.manifest import ENCODER, FILES, MANIFEST, REFERENCE, checksum


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], *, sign: bool = True) -> None:
    """Changes the manifest, and signs it as if recmem had written it."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    if sign:
        manifest["checksum"] = checksum(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def sign_files(folder: Path) -> None:
    """Makes the checksums those of the files as they are."""
    rewrite(folder, lambda manifest: manifest.update(sha256=_digests(folder)))


def sign(folder: Path, *, files: bool = True) -> None:
    """Makes the checksums those of what is there, whatever it is; a manifest that is no JSON stays as it is."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        if files:
            manifest["sha256"] = _digests(folder)
        manifest["checksum"] = checksum(manifest)
    except (ValueError, TypeError):
        return
    path.write_text(json.dumps(manifest))


def _digests(folder: Path) -> dict[str, str]:
    return {name: file_digest(folder / name) for name in (*FILES, ENCODER, REFERENCE) if (folder / name).is_file()}


def in_version_2(folder: Path) -> None:
    """Rewrites the bundle as recmem 0.1 wrote it."""

    def rename(manifest: dict[str, Any]) -> None:
        config = manifest["config"]
        config["scene"] = config.pop("dataset")
        config["memory"]["searched"] = config["memory"].pop("retrieved_from")
        manifest["format_version"] = 2

    ranker = json.loads((folder / "ranker.json").read_text())
    old = {"columns": ranker["features"], "features": ranker["inputs"], "blend": ranker["blend"]}
    (folder / "ranker.json").write_text(json.dumps(old))
    sign_files(folder)
    rewrite(folder, rename)
