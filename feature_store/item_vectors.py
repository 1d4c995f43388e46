"""Vectors of items that another team has made: kept in the store, by the name of their space.

A space is what vectors can be compared in: those that one version of one model has made. Its identity is its name and
the number of a vector's numbers. It cannot be a digest of a file, because vectors of new items come in later files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl

from feature_store.arrays import Float32Array
from feature_store.data_errors import DataError
from feature_store.files.file_rows import FileRows
from feature_store.point_in_time.event_log import rows_of
from feature_store.receipts import Receipt
from feature_store.schema import ITEM_VECTORS
from feature_store.store import Store
from feature_store.vector_checks import COLUMNS, OTHER_SPACE, TABLE, VectorRows, check_vectors
from feature_store.warnings.id_differences import N_SAMPLED, likely_difference
from feature_store.warnings.unread_columns import unread_columns

DEFAULT_NAME = "vectors"
"""The name of vectors that come as a frame, without one."""
MAX_NAME = 200
"""Characters of a name."""
FEWEST_COMPARED = 20
"""Items that have a vector already, from which on the new vectors are compared with the old ones."""
SAME_SPACE = 0.5
"""Median cosine of an item's new and old vector, below which the new ones are another model's. The texts or pictures of
items change, but hardly those of most items at once; vectors of two models have cosines near 0."""

_FINGERPRINT_CHARS = 16


@dataclass(frozen=True, eq=False)
class CheckedVectors:
    """Vectors that a store can take."""

    name: str
    rows: VectorRows
    n_in: int
    """Rows of the table that was given."""
    warnings: tuple[str, ...]


def space_fingerprint(name: str, dim: int) -> str:
    """16 hex digits that name the space, as an encoder's fingerprint names its own."""
    return sha256(f"vectors {dim} {name}".encode()).hexdigest()[:_FINGERPRINT_CHARS]


def stored_spaces(store: Store) -> dict[str, int]:
    """The names of the store's vectors, sorted, each with the number of items that have one."""
    spaces = store.read(ITEM_VECTORS)["space"].value_counts().sort("space")
    return dict(spaces.iter_rows())


def space_name(store: Store, given: str, source: object) -> str:
    """The name of vectors from `source`, a path or a frame: the given one, else that of the store's vectors.

    If the store has none, or of several names, it is the name of the file without its ending. So a file of the next
    night, `vectors-2026-11-28.parquet`, goes on where the first one began.
    """
    if given:
        return _checked_name(given)
    spaces = list(stored_spaces(store))
    if len(spaces) == 1:
        return spaces[0]
    name = Path(source.partition("?")[0].rstrip("/")).stem if isinstance(source, str) else DEFAULT_NAME
    return _checked_name(name or DEFAULT_NAME)


def stored_vectors(store: Store, name: str) -> tuple[pl.Series, Float32Array]:
    """The ids of the items that have a vector of this name, and the vectors: float32[item, dim], of unit length.

    Both are empty if there are none. Raises DataError if vectors of several lengths are stored under the name.
    """
    rows = store.read(ITEM_VECTORS).filter(pl.col("space") == name).sort("item_id")
    lengths = rows["vector"].list.len().unique()
    if len(lengths) > 1:
        found = ", ".join(map(str, lengths.sort()))
        raise DataError(
            f"{TABLE}: expected vectors of one length named {name!r}, got {found} numbers: two writers have added them "
            "at the same time. Add those of one model anew, under another name."
        )
    dim = int(lengths[0]) if len(lengths) else 0
    flat = rows["vector"].explode(empty_as_null=False, keep_nulls=False).to_numpy()
    return rows["item_id"], flat.reshape(-1, dim) if dim else np.empty((0, 0), np.float32)


def checked_vectors(
    store: Store, given: pl.DataFrame | FileRows, name: str, *, items: pl.Series | None = None
) -> CheckedVectors:
    """The vectors of a table, checked against those of this name in the store; the store need not exist yet.

    `items` are the ids of the items that will be there; by default those of the store.

    Raises DataError with all faults of `check_vectors`, or if no item has any of these ids and they are the first of
    this name, or if the vectors of items that have one already show that they are another model's.
    """
    read = given if isinstance(given, FileRows) else FileRows(given)
    known_ids, known = stored_vectors(store, name)
    item_ids = store.items()["item_id"] if items is None else items
    decided = known_ids.dtype if len(known_ids) else (item_ids.dtype if len(item_ids) else None)
    dim = known.shape[1] if len(known) else None
    rows = check_vectors(read.frame, ids=decided, dim=dim, like=f"the store's vectors of {name!r} have")
    if not len(known_ids):  # later ones may be of new items alone
        _require_items(rows.ids, item_ids)
    require_same_space(rows, known_ids, known, name)
    warnings = (*read.warnings, *unread_columns(read.frame.columns, COLUMNS, TABLE))
    return CheckedVectors(name, rows, read.n_rows, warnings)


def append_vectors(store: Store, checked: CheckedVectors) -> Receipt:
    """Adds the vectors; one of an item that has another vector of this name takes its place."""
    rows = checked.rows
    frame = pl.DataFrame(
        {
            "item_id": rows.ids,
            "space": pl.Series([checked.name], dtype=pl.String).new_from_index(0, len(rows.ids)),
            "vector": pl.Series(rows.units, dtype=pl.Array(pl.Float32, rows.units.shape[1])).arr.to_list(),
        }
    )
    receipt = store.append(ITEM_VECTORS, frame)
    return replace(
        receipt,
        n_in=checked.n_in,
        n_duplicate=checked.n_in - receipt.n_new - receipt.n_rejected,
        warnings=(*checked.warnings, *receipt.warnings),
    )


def require_same_space(rows: VectorRows, known_ids: pl.Series, known: Float32Array, name: str) -> None:
    """Raises DataError if the vectors are unlike the known ones where an item has both.

    `known_ids` and `known` are the vectors of this name: unit vectors of the same length, float32[item, dim].
    """
    if not len(known):
        return
    places = rows_of(rows.ids, known_ids).to_numpy()
    is_known = places >= 0
    if is_known.sum() < FEWEST_COMPARED:
        return
    cosines = np.einsum("ij,ij->i", rows.units[is_known], known[places[is_known]])
    median = float(np.median(cosines))
    if median < SAME_SPACE:
        raise DataError(
            f"{TABLE}.vector: expected vectors of {name!r}, like those that are there, got ones of another model: "
            f"the median cosine of the new and the old vector is {median:.2f} over {len(cosines):,} items that have "
            f"both. {OTHER_SPACE}"
        )


def _require_items(ids: pl.Series, item_ids: pl.Series) -> None:
    if not len(item_ids) or not len(ids):
        return
    if ids.cast(pl.String).is_in(item_ids.cast(pl.String).implode()).any():
        return
    wanted = ids.cast(pl.String).unique().sort()
    difference = likely_difference(wanted.gather_every(-(-len(wanted) // N_SAMPLED)), item_ids.cast(pl.String).unique())
    cause = f" Likely cause: {difference.cause}." if difference.known_examples else ""
    raise DataError(
        f"{TABLE}.item_id: expected ids of the items, such as {item_ids[0]!r}, got none of them, such as {ids[0]!r}."
        f"{cause} Write both tables' ids in the same way."
    )


def _checked_name(name: str) -> str:
    if len(name) > MAX_NAME or not name.strip() or not name.isprintable():
        raise DataError(
            f"vectors_name: expected a name of at most {MAX_NAME} characters, got {name[:60]!a}. Try 'clip-v1'."
        )
    return name


def no_such_space(name: str, spaces: Sequence[str]) -> DataError:
    """The error where a store has no vectors of this name; `spaces` are those that it has."""
    has = f"only {', '.join(map(repr, spaces))}" if spaces else "none"
    return DataError(
        f"vectors_name: expected vectors of {name!r} in the store, got {has}. Add them with `recmem ingest --vectors`, "
        "or give --vectors."
    )
