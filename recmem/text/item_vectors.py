"""Vectors of items that another team has made, in place of a text encoder's."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError, Store
from feature_store.arrays import BoolArray, Float32Array, IntArray
from feature_store.cell_parsing import parse_ids
from feature_store.item_vectors import no_such_space, require_same_space, space_fingerprint, stored_spaces
from feature_store.item_vectors import stored_vectors as _stored
from feature_store.point_in_time.event_log import rows_of
from feature_store.vector_checks import TABLE, VectorRows, check_vectors
from recmem.text.unit_vectors import exact_units


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """Unit vectors by item, in the space of one name. An item without a vector has zeros.

    A text encoder gives the empty text a vector too, the same for all items without a text, which are then alike. Here
    they are like nothing: their cosine with every item is 0, and the match module learns nothing from them.
    """

    name: str
    dim: int
    ids: pl.Series
    """The items that have a vector, each once, sorted: String or Int64."""
    units: Float[Tensor, "item dim"] = field(repr=False)
    """Of the items, in the order of `ids`: float16, which holds the numbers of `exact_units` as they are."""

    @classmethod
    def of(cls, name: str, rows: VectorRows) -> ItemVectors:
        """The vectors of a checked table."""
        return _in_order(name, rows.ids, _on_the_grid(rows.units))

    @classmethod
    def read(cls, store: Store, name: str) -> ItemVectors:
        """The store's vectors of this name. Raises DataError if it has none."""
        ids, units = _stored(store, name)
        if not len(ids):
            raise no_such_space(name, list(stored_spaces(store)))
        return _in_order(name, ids, _on_the_grid(units))

    @classmethod
    def empty(cls, name: str, dim: int) -> ItemVectors:
        """No vectors yet."""
        return cls(name, dim, pl.Series("item_id", [], dtype=pl.String), torch.empty(0, dim, dtype=torch.float16))

    @property
    def fingerprint(self) -> str:
        """Names the embedding space, by its name and the vectors' length."""
        return space_fingerprint(self.name, self.dim)

    def of_ids(self, ids: pl.Series) -> Float[Tensor, "id dim"]:
        """The vector of each id: float32, zeros where the item has none."""
        rows = self._rows(ids)
        vectors = torch.zeros(len(rows), self.dim)
        is_known = rows >= 0
        vectors[torch.from_numpy(is_known)] = self.units[torch.from_numpy(rows[is_known])].float()
        return vectors

    def knows(self, ids: pl.Series) -> BoolArray:
        """Whether each item has a vector: bool[id]."""
        return np.asarray(self._rows(ids) >= 0)

    def with_added(self, rows: VectorRows) -> ItemVectors:
        """These and further vectors; a new one of an item takes the place of the old one.

        Raises DataError if the new ones are of another length, or those of known items show that another model has
        made them.
        """
        dim = rows.units.shape[1]
        if dim != self.dim:
            raise DataError(
                f"{TABLE}.vector: expected {self.dim:,} numbers, as the vectors of {self.name!r} have, got {dim:,}. "
                "Give vectors that the same model has made."
            )
        if not len(self.ids):
            return ItemVectors.of(self.name, rows)
        require_same_space(rows, self.ids, self.units.float().numpy(), self.name)
        new_ids = parse_ids(rows.ids, self.ids.dtype)[0]
        is_id = new_ids.is_not_null().to_numpy()  # text is no id where the others are integers
        is_kept = ~self.ids.is_in(new_ids.implode())
        ids = pl.concat([self.ids.filter(is_kept), new_ids.filter(pl.Series(is_id))])
        kept = self.units[torch.from_numpy(is_kept.to_numpy().copy())]
        return _in_order(self.name, ids, torch.cat([kept, _on_the_grid(rows.units[is_id])]))

    def n_changed(self, rows: VectorRows) -> int:
        """How many of the vectors are new, or others than those that are there."""
        return int((self.of_ids(rows.ids) != _on_the_grid(rows.units).float()).any(dim=1).sum())

    def _rows(self, ids: pl.Series) -> IntArray:
        """int64[id]: -1 where the item has no vector."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        return rows_of(parse_ids(ids, self.ids.dtype)[0], self.ids).to_numpy().copy()


def given_rows(frame: pl.DataFrame, vectors: ItemVectors, name: str | None) -> VectorRows:
    """The vectors of a frame that are to be added to these.

    Raises DataError for another name than theirs, and as `check_vectors` does.
    """
    if name is not None and name != vectors.name:
        raise DataError(
            f"vectors_name: expected {vectors.name!r}, whose vectors the model was trained on, got {name!r}. "
            "Vectors of two models cannot be mixed: give those, or train again."
        )
    ids = vectors.ids.dtype if len(vectors.ids) else None
    return check_vectors(frame, ids=ids, dim=vectors.dim, like=f"the model's vectors of {vectors.name!r} have")


def _in_order(name: str, ids: pl.Series, units: Float[Tensor, "item dim"]) -> ItemVectors:
    """The vectors by ascending id: single ids are then found by bisection."""
    order = ids.arg_sort().cast(pl.Int64).to_numpy().copy()
    return ItemVectors(name, units.shape[1], ids.gather(order).set_sorted(), units[torch.from_numpy(order)])


def _on_the_grid(units: Float32Array) -> Float[Tensor, "item dim"]:
    """float16[item, dim], equal to what an encoder's vectors of these numbers are."""
    return exact_units(torch.from_numpy(np.array(units))).half()
