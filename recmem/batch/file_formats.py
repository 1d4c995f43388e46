"""Which format a file of candidates or scores has, by the ending of its name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from feature_store import DataError
from feature_store.object_store import is_remote, local_path, name_of

TEXT_ENDINGS = ".csv, .tsv, .jsonl or .ndjson, and these with .gz, .zst, .bz2 or .xz after them"
ENDINGS = f".parquet, .pq, .arrow, .feather, {TEXT_ENDINGS}"
"""The endings that are read and written, for people."""
_COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")


class Kind(StrEnum):
    """What a file consists of."""

    PARQUET = "Parquet"
    ARROW = "Arrow"
    ARROW_STREAM = "an Arrow stream"
    CSV = "CSV"
    TSV = "tab-separated text"
    JSON_LINES = "JSON lines"


_KINDS = {
    ".parquet": Kind.PARQUET,
    ".pq": Kind.PARQUET,
    ".parq": Kind.PARQUET,
    ".arrow": Kind.ARROW,
    ".feather": Kind.ARROW,
    ".ipc": Kind.ARROW,
    ".arrows": Kind.ARROW_STREAM,
    ".csv": Kind.CSV,
    ".tsv": Kind.TSV,
    ".tab": Kind.TSV,
    ".jsonl": Kind.JSON_LINES,
    ".ndjson": Kind.JSON_LINES,
}
_TEXT = (Kind.CSV, Kind.TSV, Kind.JSON_LINES)


@dataclass(frozen=True)
class FileFormat:
    """A kind of file, and how it is compressed as a whole."""

    kind: Kind
    compression: str = ""
    """The ending that says so, such as ".gz"; empty for none. Only text is compressed so."""

    @property
    def is_text(self) -> bool:
        """Whether cells are written as text."""
        return self.kind in _TEXT


def format_by_name(name: str) -> FileFormat | None:
    """The format that the ending of a file's name says; None if it says none that is read here."""
    path = PurePosixPath(name)
    compression = path.suffix.lower()
    if compression in _COMPRESSIONS:
        kind = _KINDS.get(PurePosixPath(path.stem).suffix.lower())
        return FileFormat(kind, compression) if kind in _TEXT else None
    kind = _KINDS.get(path.suffix.lower())
    return None if kind is None else FileFormat(kind)


def output_format(out: str | Path) -> FileFormat:
    """The format in which a file of this name is written.

    Raises DataError for a folder, and with all endings for a name of another ending.
    """
    if not is_remote(out) and local_path(out).is_dir():
        remedy = "Give a path in a folder that can be written."
        raise DataError(f"out: expected a file, got the folder {str(out)!r}. {remedy}")
    found = format_by_name(name_of(out))
    if found is None:
        remedy = f"Choose one of {ENDINGS}."
        raise DataError(f"out: expected a name whose ending says its format, got {name_of(out)!r}. {remedy}")
    return found
