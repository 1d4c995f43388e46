"""Candidates at any address: copied from an object store if they are on one, and read whatever their format is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from feature_store import DataError
from feature_store.addresses import without_secrets
from feature_store.atomic_files import temporary_folder
from feature_store.files.file_content import UnreadableFileError, looks_like
from feature_store.object_store import download_file, download_folder, is_remote, local_path, name_of
from recmem.batch.candidate_files import CandidateFiles
from recmem.batch.file_formats import ENDINGS, FileFormat, Kind, format_by_name
from recmem.batch.spooled_rows import spool

_COPY = "recmem-candidates-"
"""Prefix of the temporary folder that holds a copy of the candidates while they are scored."""
_N_LOOKED_AT = 4096
"""Bytes of a file by which its format is recognised if its name does not say it."""


@contextmanager
def candidates_at(
    address: str | Path, *, warn: Callable[[str], None] = lambda warning: None
) -> Iterator[CandidateFiles]:
    """The candidates in a file, or in a folder's Parquet files, for a `with` block.

    Parquet is read where it is. Other formats (by the ending: see `ENDINGS`) are kept as Parquet in the folder for
    temporary files until the block ends, and so is what lies on an object store. `warn` is called with what was read
    but looks wrong.

    Raises DataError if there is nothing, it is of no such format, or a row cannot be read.
    """
    if not is_remote(address):
        path = local_path(address)
        file_format = _format(path)
        if file_format.kind is Kind.PARQUET:
            yield CandidateFiles.open(path)
            return
    with temporary_folder(_COPY) as temporary:
        folder = Path(temporary)
        if is_remote(address):
            path = _copied(str(address), folder / "copy")
            file_format = _format(path)
        if file_format.kind is Kind.PARQUET:
            yield CandidateFiles.open(path)
        else:
            yield _spooled(path, file_format, folder / "rows", warn)


def _copied(url: str, folder: Path) -> Path:
    """A copy of the object, or of the Parquet files of a folder. A URL whose ending names a format is an object's."""
    folder.mkdir()
    if not url.endswith("/") and format_by_name(name_of(url)) is not None:
        return download_file(url, folder, argument="candidates.path")
    if not download_folder(url, folder, argument="candidates.path", wanted=_is_part):
        if url.endswith("/"):
            got = f"none at {without_secrets(url)!r}"
            raise DataError(f"candidates.path: expected .parquet files, got {got}. Give the folder that holds them.")
        return download_file(url, folder, argument="candidates.path")
    return folder


def _is_part(name: str) -> bool:
    return "/" not in name and name.endswith(".parquet")


def _format(path: Path) -> FileFormat:
    """The format by the name, else by the first bytes; a folder, and what is not there, is left to Parquet's reader."""
    found = format_by_name(path.name)
    if path.is_dir() or (found is None and not path.exists()):
        return FileFormat(Kind.PARQUET)
    if found is not None:
        return found
    with path.open("rb") as file:
        content = looks_like(file.read(_N_LOOKED_AT))
    known = {"a Parquet file": Kind.PARQUET, "an Arrow file": Kind.ARROW}.get(content)
    if known is None:
        ending = path.suffix or "no ending"
        looks = f", and it looks like {content}" if content else ""
        raise DataError(
            f"candidates.path: expected a file of a known format, got {path.name!r} ({ending}{looks}). "
            f"Give one whose name ends in {ENDINGS}."
        )
    return FileFormat(known)


def _spooled(path: Path, file_format: FileFormat, folder: Path, warn: Callable[[str], None]) -> CandidateFiles:
    if not path.exists():
        remedy = "Check the path, which is relative to the working directory."
        raise DataError(f"candidates.path: expected a file, got nothing at {str(path)!r}. {remedy}")
    folder.mkdir()
    try:
        spool(path, file_format, folder, warn=warn)
    except DataError:
        raise
    except (UnreadableFileError, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # a failing drive, not a broken file
        cause = str(error).partition("\n")[0].rstrip(".")
        remedy = getattr(error, "remedy", "Write the file again, or correct its ending.")
        raise DataError(
            f"candidates.path: expected {file_format.kind}, got {path.name!r}, which cannot be read ({cause}). {remedy}"
        ) from error
    return CandidateFiles.open(folder)
