"""The files of a bundle: what is no regular file of the folder is refused, and nothing waits for it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from changed_bundles import sign
from feature_store import DataError
from recmem.serving.bundle import load_bundle
from recmem.serving.bundle_files import read_file
from recmem.serving.manifest import FILES, MANIFEST, MAX_BYTES

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices have names on Unix only")


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_file(tmp_path, "a", at_most=3) == b"abc"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"bundle: expected the file a, got none in .*\. Copy the whole bundle"):
        read_file(tmp_path, "a", at_most=3)


@pytest.mark.parametrize("name", FILES)
def test_a_larger_file_than_a_bundle_has_is_not_read(folder: Path, name: str) -> None:
    os.truncate(folder / name, 2**41)
    with pytest.raises(DataError, match=rf"expected at most {MAX_BYTES[name]:,} bytes in {name}, got 2,199,"):
        load_bundle(folder)


@unix_only
@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_pipe_is_refused_and_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(DataError, match=rf"expected ({name} to be a file, got a folder, pipe|the file {name})"):
        load_bundle(folder)


@unix_only
def test_a_socket_and_a_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="bundle: expected folder to be a file, got a folder, pipe or device"):
        read_file(tmp_path, "folder", at_most=3)
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        with pytest.raises(DataError, match="bundle: expected a file socket that can be read, got an error"):
            read_file(tmp_path, "socket", at_most=3)


@unix_only
@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "nowhere", "ranker.txt"])
def test_a_link_is_refused(folder: Path, target: str) -> None:
    (folder / "ranker.json").unlink()
    (folder / "ranker.json").symlink_to(target)
    sign(folder, files=False)
    with pytest.raises(DataError, match=r"expected ranker\.json inside the folder, got a link"):
        load_bundle(folder)
