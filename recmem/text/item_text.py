"""The text of an item: which columns carry text, and how they become one string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

# Imported inside the functions: the encoder reads TEMPLATE_VERSION on machines that have torch but no polars.
if TYPE_CHECKING:
    import polars as pl

TEMPLATE_VERSION = 1
"""Version of the template that `item_text` writes; part of the encoder's fingerprint.

Raise it with every change of the output.
"""

PLAIN_COLUMNS = ("title", "description")
"""Columns whose value stands in the text without its column's name, in this order."""

ITEM_ID = "item_id"

_NOT_PROSE = {
    "number": r"[+-]?\d[\d., ]*",
    "date": r"(\d{4}-\d{1,2}(-\d{1,2})?|\d{1,2}[./]\d{1,2}[./]\d{2,4})([T ]\d{1,2}:\d{2}.*)?",
    "url": r"(?i)(https?://|www\.)\S+",
    "uuid or hash": r"(?i)[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|[0-9a-f]{16,}",
    "code": r"[A-Z]{0,6}[-_]?\d[A-Z0-9_-]{3,}",
}
_SAMPLE_ROWS = 1000
_NOT_PROSE_SHARE = 0.9


def text_columns(frame: pl.DataFrame) -> list[str]:
    """Names of the columns of `frame` that carry text: title, description, then the others in the frame's order.

    A column counts when its dtype is String, Categorical or Enum. Left out are `item_id`, columns named `id` or
    `*_id`, and columns of whose first 1,000 non-empty values nine in ten look like a number, a date, an address (URL),
    a UUID or hash, or an article code ("SKU-1234"). `title` and `description` are never left out for their values.

    The answer depends on the values: take it once, from the catalogue that the model is trained on, keep it with the
    model, and give it to `item_text` ever after.

    >>> import polars as pl
    >>> text_columns(pl.DataFrame({"item_id": ["1"], "brand": ["HP"], "title": ["Ink"], "released": ["2018-01-31"]}))
    ['title', 'brand']
    """
    import polars as pl

    textual = [name for name, dtype in frame.schema.items() if dtype in (pl.String, pl.Categorical, pl.Enum)]
    plain = [name for name in PLAIN_COLUMNS if name in textual]
    others = [name for name in textual if name not in plain and not _is_id_name(name)]
    return plain + [name for name in others if _is_prose(frame.get_column(name))]


def item_text(frame: pl.DataFrame, columns: Sequence[str] | None = None) -> pl.Series:
    """One text per row of `frame`, a String series named `text`, without nulls: "title. description. category: x".

    `title` and `description` stand plain, every other column as "name: value" (underscores of the name become spaces).
    The order is that of `columns`, or of `text_columns(frame)` where none are given. Empty and null values are left
    out, white space is collapsed, full stops at a part's end give way to the separator. A row without text gives "".

    Raises ValueError where `columns` names one that the frame lacks.

    >>> import polars as pl
    >>> item_text(pl.DataFrame({"title": ["Ink."], "description": [""], "brand": ["HP"]})).to_list()
    ['Ink. brand: HP']
    """
    import polars as pl

    columns = text_columns(frame) if columns is None else list(columns)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(
            f"columns: expected columns of the frame ({', '.join(frame.columns)}), got {', '.join(missing)}. "
            "Give items the same text columns as the model was trained on."
        )
    if not columns:
        return pl.Series("text", [""] * frame.height, dtype=pl.String)
    parts = [_part(name) for name in columns]
    return frame.select(pl.concat_str(parts, separator=". ", ignore_nulls=True).alias("text")).get_column("text")


def _part(name: str) -> pl.Expr:
    """The column's value as it stands in the text; null where there is nothing to say."""
    import polars as pl

    value = pl.col(name).cast(pl.String).str.replace_all(r"\s+", " ").str.strip_chars().str.strip_chars_end(" .。")
    label = "" if name in PLAIN_COLUMNS else f"{name.replace('_', ' ')}: "
    return pl.when(value != "").then(pl.lit(label) + value)


def _is_id_name(name: str) -> bool:
    return name == "id" or name.endswith("_id") or name == ITEM_ID


def _is_prose(values: pl.Series) -> bool:
    """False where nearly all of the values have the form of an id, a number, a date or an address."""
    import polars as pl

    sample = values.cast(pl.String).str.strip_chars()
    sample = sample.filter(sample.is_not_null() & (sample != "")).head(_SAMPLE_ROWS)
    if sample.is_empty():
        return True
    pattern = "|".join(f"(?:{form})" for form in _NOT_PROSE.values())
    n_not_prose = int(sample.str.contains(f"^(?:{pattern})$").sum())
    return n_not_prose < _NOT_PROSE_SHARE * len(sample)
