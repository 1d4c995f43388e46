"""Compares every file of a store with the digest that was noted when it was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from feature_store import DataError, Store
from feature_store.forgetting.erasure import is_data_or_log, walk
from feature_store.noted_digests import TableDigests
from recmem.text.vector_cache import VECTORS_FOLDER
from recmem.text.vector_parts import damaged_parts


@dataclass(frozen=True)
class StoreFiles:
    """What became of a store's files since they were written. Names are below the store's folder."""

    n_unchanged: int
    changed: tuple[str, ...]
    """Files with other content than what was written; a part of text vectors that does not match its own digest."""
    missing: tuple[str, ...]
    """Files of the tables' newest versions that are gone."""
    problems: tuple[str, ...]
    """Messages about tables that cannot be opened or are older than what was noted."""
    without_digest: tuple[str, ...]
    """Files of which nothing is known: written by an older recmem, by another program, or by a writer that was killed
    just before it noted the digest."""
    n_damaged_notes: int
    """Lines of the lists of digests that do not match their own checksum."""

    @property
    def is_as_written(self) -> bool:
        """Whether no file is known to have changed."""
        return not (self.changed or self.missing or self.problems)


def check_files(store: Store, *, record: bool = False) -> StoreFiles:
    """Reads every file of the tables and of the text vectors. Older versions of the tables are checked too.

    `record` notes the digests of files that have none, as these files are now. Raises DataError for an object store,
    which checks what it holds itself.
    """
    if not store.digests():
        remedy = "An object store checks its files itself."
        raise DataError(f"store: expected a local folder, got {store.path!r}. {remedy}")
    n_unchanged = 0
    changed: list[str] = []
    missing: list[str] = []
    problems: list[str] = []
    without: list[str] = []
    n_damaged = 0
    for table, kept in store.digests().items():
        folder = kept.folder
        digests = TableDigests(folder)  # not the store's: it does not read a file twice
        noted = digests.noted()
        n_damaged += noted.n_damaged
        names = [path.relative_to(folder).as_posix() for path in walk(folder) if path.is_file()]
        of_table = sorted(name for name in names if is_data_or_log(name))
        unknown = [name for name in of_table if name not in noted.digests]
        different = [name for name in of_table if digests.is_changed(name, noted)]
        try:
            missing += [f"{table.name}/{name}" for name in store.file_names(table) if not (folder / name).exists()]
        except DataError as error:
            problems += [] if different else [str(error)]
        if record:
            digests.note(unknown)
        n_unchanged += len(of_table) - len(unknown) - len(different)
        changed += [f"{table.name}/{name}" for name in different]
        without += [f"{table.name}/{name}" for name in unknown]
    parts = damaged_parts(Path(store.path) / VECTORS_FOLDER)
    damaged = [f"{VECTORS_FOLDER}/{name}" for name, is_damaged in parts.items() if is_damaged]
    return StoreFiles(
        n_unchanged=n_unchanged + len(parts) - len(damaged),
        changed=(*changed, *damaged),
        missing=tuple(missing),
        problems=tuple(problems),
        without_digest=tuple(without),
        n_damaged_notes=n_damaged,
    )
