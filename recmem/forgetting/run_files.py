"""What trainings left beside the store: vectors of texts, which are forgotten too, and files that hold an id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from feature_store import Store
from feature_store.forgetting.erasure import walk
from feature_store.forgetting.id_search import IdSearch
from recmem.text.vector_cache import BASE_VECTORS, forget_texts

_IS_NUMBERS = ".safetensors"
"""Ending of files that hold no ids, and may be large."""


def run_beside(store: Store) -> Path | None:
    """The folder OUT of the training whose store is OUT/store; None if there is no such folder."""
    if "://" in store.path:
        return None
    folder = Path(store.path).absolute().parent
    return folder if is_run(folder) else None


def is_run(folder: Path) -> bool:
    """Whether a training, or `recmem features`, has begun in the folder."""
    return any((folder / name).is_dir() for name in ("work/ingest", "match_folds"))


def forget_in_runs(runs: Sequence[Path], texts: Sequence[str]) -> int:
    """Removes the texts' vectors from what the trainings in these folders have cached; how many there were."""
    return sum(forget_texts(run / BASE_VECTORS, texts) for run in runs) if texts else 0


def files_with(runs: Sequence[Path], store: Store, value: object) -> list[str]:
    """Files of the trainings in these folders that hold the id, such as reports and input examples; sorted.

    The store is left out: it is searched when it forgets. An id of fewer than five characters is found in Parquet
    files alone, as everywhere.
    """
    search = IdSearch(value)
    inside = None if "://" in store.path else Path(store.path).absolute()
    found = set()
    for run in runs:
        for path in walk(run.absolute()):
            is_of_store = inside is not None and path.is_relative_to(inside)
            if not is_of_store and path.suffix != _IS_NUMBERS and path.is_file() and search.is_in(path):
                found.add(str(path))
    return sorted(found)
