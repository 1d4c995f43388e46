"""Arrow columns as polars columns: what polars cannot hold is converted first, or left out, and never reaches it.

Polars panics on some Arrow types and refuses others: time zones given as an offset (`+05:30`), decimals of 256 bits,
intervals, unions.
"""

from __future__ import annotations

from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

_MAX_DIGITS = 38
"""Digits of a decimal number that polars holds."""
_UTC = "UTC"
_AS_IT_IS = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_duration,
)
"""Types that polars reads as they are."""


def as_polars(table: pa.Table) -> tuple[pl.DataFrame, dict[str, pa.DataType]]:
    """The columns that polars can hold, in their order, and the types of those that it cannot, by name.

    Times with a zone come in UTC, decimals of more digits than polars has as 64-bit floats, extension types as what
    they are stored as.
    """
    read: dict[str, pa.ChunkedArray] = {}
    left_out: dict[str, pa.DataType] = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        plain = _plain(column)
        if plain is None:
            left_out[name] = column.type
        else:
            read[name] = plain
    if not read:
        # A table without columns forgets its number of rows.
        return pl.DataFrame(height=table.num_rows), left_out
    return cast(pl.DataFrame, pl.from_arrow(pa.table(read))), left_out


def can_be_polars(kind: pa.DataType) -> bool:
    """Whether a column of this type can be given to polars, as it is or converted."""
    return _target(kind) is not None


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The column in a type that polars holds; None if there is none."""
    target = _target(column.type)
    if target is None or column.type == target:
        return None if target is None else column
    if isinstance(column.type, pa.BaseExtensionType):
        stored = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        return _plain(stored)
    if pa.types.is_run_end_encoded(column.type):
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
        return _plain(pa.chunked_array(chunks, column.type.value_type))
    return _narrow_decimals(column) if pa.types.is_decimal256(column.type) else column.cast(target)


def _narrow_decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals of 256 bits in 128 if their digits fit, whatever the type allows: an id must not be rounded."""
    scale = column.type.scale
    if 0 <= scale <= _MAX_DIGITS:
        try:
            return column.cast(pa.decimal128(_MAX_DIGITS, scale))
        except pa.ArrowInvalid:
            pass  # more digits than that
    return column.cast(_target(column.type))


def _target(kind: pa.DataType) -> pa.DataType | None:
    """The type in which polars gets a column of this type: often the same; None if it cannot be given one."""
    if any(is_kind(kind) for is_kind in _AS_IT_IS):
        return kind
    if pa.types.is_timestamp(kind):
        # Only the name of the zone changes: the instants are stored in UTC whatever the zone.
        return kind if kind.tz in (None, _UTC) else pa.timestamp(kind.unit, _UTC)
    if pa.types.is_decimal(kind):
        fits = kind.precision <= _MAX_DIGITS and 0 <= kind.scale <= kind.precision
        if not fits:
            return pa.float64()
        return pa.decimal128(kind.precision, kind.scale) if pa.types.is_decimal256(kind) else kind
    if isinstance(kind, pa.BaseExtensionType):
        return _target(kind.storage_type)
    if pa.types.is_run_end_encoded(kind):
        return _target(kind.value_type)
    if pa.types.is_dictionary(kind):
        is_text = pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)
        return kind if is_text else _target(kind.value_type)
    return kind if _is_plain_nested(kind) else None


def _is_plain_nested(kind: Any) -> bool:
    """Whether this is a list or struct whose values polars reads as they are."""
    if pa.types.is_fixed_size_list(kind) and kind.list_size == 0:
        return False
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return bool(_target(kind.value_type) == kind.value_type)
    if pa.types.is_struct(kind):
        return all(_target(field.type) == field.type for field in kind)
    return False
