"""A store in a folder without write permission: what is cached is used, the rest is encoded and kept in memory."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from counting_encoder import DIM, FINGERPRINT, CountingEncoder
from debian_model import trained_model
from feature_store import Store
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache

ROOT = Path(__file__).parents[3]
WRITABLE = 77
TRY = f"""
import sys
from pathlib import Path
try:
    Path(sys.argv[-1], "a-file").write_text("")
except OSError:
    pass
else:
    sys.exit({WRITABLE})
"""
USE = """
import torch
from counting_encoder import DIM, FINGERPRINT, CountingEncoder
from recmem.text.cached_encoder import CachedEncoder
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache

folder = Path(sys.argv[1])
encoder = CountingEncoder()
cached = CachedEncoder(encoder, VectorCache(folder / VECTORS_FOLDER, FINGERPRINT, DIM))
texts = ["ink", "paper", "new", "ink"]
both = [cached.of_items(texts) for _ in range(2)]
assert torch.equal(both[0], both[1])
assert torch.equal(both[0], CachedEncoder(CountingEncoder(), None).of_items(texts))
assert dict(encoder.encoded) == {"new": 1}, encoder.encoded
print("used")
"""
LOAD = """
import polars as pl
import recmem
from feature_store import Store
from recmem.audit.store_files import check_files

model = recmem.load(sys.argv[2], store=sys.argv[3])
candidates = pl.DataFrame({"user_id": [sys.argv[1]] * 3, "item_id": Store.open(sys.argv[3]).items()["item_id"].head(3)})
assert model.rank(candidates).height == 3
assert check_files(Store.open(sys.argv[3])).is_as_written
print("used")
"""


PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE = 1
"""What lets root write where permissions say otherwise."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for each in [tmp_path, *tmp_path.rglob("*")]:
        each.chmod(0o755)


def obey_permissions() -> None:
    """In a child, before it starts: it has no more rights than permissions give, also as root."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def as_reader(script: str, folder: Path, *arguments: object) -> str:
    """What the script prints, run as a process that may read the folder but not write to it."""
    for each in [folder, *folder.rglob("*")]:
        each.chmod(0o555 if each.is_dir() else 0o444)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", TRY + script, *map(str, arguments)]
    obey = obey_permissions if os.geteuid() == 0 else None
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", preexec_fn=obey)
    if done.returncode == WRITABLE:
        pytest.skip("permissions do not stop this user")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cached_vectors_are_used_and_new_texts_encoded_once(folder: Path) -> None:
    store = Store.create(folder / "store")
    store.append_items(pl.DataFrame({"item_id": ["i", "j"], "title": ["ink", "paper"]}))
    VectorCache(Path(store.path) / VECTORS_FOLDER, FINGERPRINT, DIM).fill(["ink", "paper"], CountingEncoder())
    assert as_reader(USE, folder, store.path) == "used\n"
    assert len(VectorCache(Path(store.path) / VECTORS_FOLDER, FINGERPRINT, DIM)) == 2


def test_without_any_cache_all_texts_are_kept_in_memory(folder: Path) -> None:
    store = Store.create(folder / "store")
    script = USE.replace('{"new": 1}', '{"ink": 1, "paper": 1, "new": 1}')
    assert as_reader(script, folder, store.path) == "used\n"
    assert not (Path(store.path) / VECTORS_FOLDER).exists()


def test_a_model_is_loaded_and_ranks(folder: Path) -> None:
    shutil.copytree(trained_model().bundle, folder / "bundle")
    shutil.copytree(trained_model().store, folder / "store")
    user = trained_model().events["user_id"][0]
    assert as_reader(LOAD, folder, user, folder / "bundle", folder / "store") == "used\n"
