"""Types of the columns of text files, found block by block: CSV has only text, JSON a type for each cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import polars as pl
import pyarrow as pa

from feature_store import DataError

# Without a plus sign, which a telephone number would lose.
_WHOLE = r"^-?[0-9]+$"
_PADDED = r"^-?0[0-9]"
"""Digits that as a number would lose their zeros: codes, such as 007."""
_NUMBER = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_STAYS_TEXT = ("timestamp", "history")
_NUMBERS = (pl.Int64(), pl.Float64())


class CellTypes:
    """What the cells of CSV columns can be, all blocks of a file together."""

    def __init__(self, names: Iterable[str]) -> None:
        """Ids and times stay text, so that "007" is not 7; they are parsed with what reads all candidates."""
        self._possible: dict[str, list[pl.DataType]] = {
            name: [] if name.endswith("_id") or name in _STAYS_TEXT else [*_NUMBERS, pl.Boolean()] for name in names
        }
        self._n_cells = dict.fromkeys(self._possible, 0)

    def see(self, frame: pl.DataFrame) -> None:
        """Takes note of another block, whose columns are text."""
        for name, possible in self._possible.items():
            if possible:
                cells = frame[name].drop_nulls()
                self._n_cells[name] += len(cells)
                self._possible[name] = [dtype for dtype in possible if _CAN_BE[type(dtype)](cells)]

    def typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The block with every column in the first type that all its cells can have; an empty column stays text."""
        columns = [
            _as_type(frame[name], possible[0]) if possible and self._n_cells[name] else frame[name]
            for name, possible in self._possible.items()
        ]
        return pl.DataFrame(columns)


def _can_be_whole(cells: pl.Series) -> bool:
    is_whole = cells.str.contains(_WHOLE) & ~cells.str.contains(_PADDED)
    return bool(is_whole.all()) and cells.cast(pl.Int64, strict=False).null_count() == 0


def _can_be_float(cells: pl.Series) -> bool:
    is_number = cells.str.contains(_NUMBER) & ~cells.str.contains(_PADDED)
    if not is_number.all():
        return False
    # A whole number beyond 64 bits would be rounded: an id, say, under another name.
    whole = cells.filter(cells.str.contains(_WHOLE)).cast(pl.Int64, strict=False)
    return whole.null_count() == 0 and bool(cells.cast(pl.Float64, strict=False).is_finite().all())


def _can_be_bool(cells: pl.Series) -> bool:
    return bool(cells.str.to_lowercase().is_in(["true", "false"]).all())


_CAN_BE: dict[type[pl.DataType], Callable[[pl.Series], bool]] = {
    pl.Int64: _can_be_whole,
    pl.Float64: _can_be_float,
    pl.Boolean: _can_be_bool,
}


def _as_type(cells: pl.Series, dtype: pl.DataType) -> pl.Series:
    return cells.str.to_lowercase() == "true" if dtype == pl.Boolean else cells.cast(dtype)


def joint_type(name: str, first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """A type for the cells of a JSON column whose blocks have these two: null gives way, numbers become wider or text.

    Raises DataError if there is none, as for objects and text.
    """
    if first.equals(second) or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if _is_list(first) and _is_list(second) and _can_join(first.value_type, second.value_type):
        return pa.large_list(joint_type(name, first.value_type, second.value_type))
    if pa.types.is_struct(first) and pa.types.is_struct(second):
        return _joint_struct(name, first, second)
    if _can_join(first, second):
        return pa.float64() if _is_number(first) and _is_number(second) else pa.large_string()
    remedy = "Write one kind of value into the column, or drop it."
    raise DataError(f"candidates.{name}: expected one type, got {first} and {second} in different rows. {remedy}")


def _joint_struct(name: str, first: pa.StructType, second: pa.StructType) -> pa.DataType:
    fields = {field.name: field.type for field in first}
    for field in second:
        fields[field.name] = joint_type(f"{name}.{field.name}", fields.get(field.name, field.type), field.type)
    return pa.struct(list(fields.items()))


def _can_join(first: pa.DataType, second: pa.DataType) -> bool:
    """Whether there is a type for text and numbers of these types, or one of them has no cells."""
    return all(_is_plain(kind) or pa.types.is_null(kind) for kind in (first, second))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_plain(kind: pa.DataType) -> bool:
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(is_text or _is_number(kind) or pa.types.is_boolean(kind))


def in_type(cells: pl.Series, dtype: pl.DataType) -> pl.Series:
    """The cells of a block in the joint type of all blocks. A whole float as text is written as a whole number."""
    if cells.dtype == dtype:
        return cells
    if isinstance(dtype, pl.Struct) and isinstance(cells.dtype, pl.Struct):
        return _struct_in_type(cells, dtype)
    if dtype == pl.String and cells.dtype.is_float():
        is_whole = cells == cells.round()
        whole = cells.set(~is_whole.fill_null(value=False), None).cast(pl.Int64, strict=False).cast(pl.String)
        return pl.select(pl.coalesce(whole, cells.cast(pl.String))).to_series().alias(cells.name)
    return cells.cast(dtype)


def _struct_in_type(cells: pl.Series, dtype: pl.Struct) -> pl.Series:
    given = {field.name for field in cells.dtype.fields}  # type: ignore[attr-defined]
    fields = {
        field.name: in_type(
            cells.struct.field(field.name) if field.name in given else pl.repeat(None, len(cells), eager=True),
            pl.Series([], dtype=field.dtype).dtype,
        )
        for field in dtype.fields
    }
    whole = pl.DataFrame(fields).to_struct(cells.name)
    return whole.set(cells.is_null(), None) if cells.null_count() else whole
