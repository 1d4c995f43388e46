"""The text of an item: which of its columns contain text, and how they are joined into one string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

# Imported inside the functions: the encoder reads TEMPLATE_VERSION on machines that have torch but no polars.
if TYPE_CHECKING:
    import polars as pl

TEMPLATE_VERSION = 1
"""Version of `item_text`'s template; part of the encoder's fingerprint. Raise it with every change of the output."""

PLAIN_COLUMNS = ("title", "description")
"""Columns whose values are written without the column's name, in this order."""

# Forms of values that are no words to read. A column is left out if nearly all of its sample has one of them.
_NOT_PROSE = {
    "number": r"[+-]?\d[\d., ]*",
    "url": r"(?i)(https?://|www\.)\S+",
    "uuid or hash": r"(?i)[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|[0-9a-f]{16,}",
    "code": r"[A-Z]{0,6}[-_]?\d[A-Z0-9_-]{3,}",
}
_SAMPLE_ROWS = 1000
_NOT_PROSE_SHARE = 0.9


def text_columns(frame: pl.DataFrame) -> list[str]:
    """Names of the columns of `frame` that contain text: title, description, then the others in the frame's order.

    These are columns of dtype String, Categorical or Enum, except columns named `id` or `*_id`, and columns where nine
    in ten of the first 1,000 non-empty values look like a number, a date, a URL, a UUID or hash, or an article code
    ("SKU-1234"). `title` and `description` are always included.

    The result depends on the values. Compute it once, on the catalogue that the model is trained on, store it with the
    model and pass it to `item_text` from then on.

    >>> import polars as pl
    >>> text_columns(pl.DataFrame({"item_id": ["1"], "brand": ["HP"], "title": ["Ink"], "released": ["2018-01-31"]}))
    ['title', 'brand']
    """
    import polars as pl

    textual = [name for name, dtype in frame.schema.items() if dtype in (pl.String, pl.Categorical, pl.Enum)]
    plain = [name for name in PLAIN_COLUMNS if name in textual]
    others = [name for name in textual if name not in plain and not is_id_name(name)]
    return plain + [name for name in others if _is_prose(frame.get_column(name))]


def item_text(frame: pl.DataFrame, columns: Sequence[str] | None = None) -> pl.Series:
    """One text per row of `frame`, a String series named `text`, without nulls: "title. description. category: x".

    `title` and `description` are written as they are, every other column as "name: value", with spaces for underscores
    in the name. The order is that of `columns`, by default `text_columns(frame)`. Empty and null values are left out,
    white space is collapsed, and full stops at the end of a value are replaced by the separator. A row without any
    text gives "".

    Raises ValueError if the frame lacks one of `columns`.

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
            "Give items the text columns that the model was trained on."
        )
    if not columns:
        return pl.Series("text", [""] * frame.height, dtype=pl.String)
    parts = [_part(name, is_float=frame.schema[name].is_float()) for name in columns]
    return frame.select(pl.concat_str(parts, separator=". ", ignore_nulls=True).alias("text")).get_column("text")


def _part(name: str, *, is_float: bool) -> pl.Expr:
    """The column's part of the text; null if the value is empty."""
    import polars as pl
    from polars import selectors

    # Not `pl.col`, which takes a name such as "*" or "^a.*$" for a pattern.
    cells = selectors.by_name(name).as_expr().cast(pl.String)
    if is_float:
        # A column that was text when the model was trained, and has become numbers since: 2, not 2.0.
        cells = cells.str.strip_suffix(".0")
    value = cells.str.replace_all(r"\s+", " ").str.strip_chars().str.strip_chars_end(" .。")
    label = "" if name in PLAIN_COLUMNS else f"{name.replace('_', ' ')}: "
    return pl.when(value != "").then(pl.lit(label) + value)


def is_id_name(name: str) -> bool:
    """Whether a column of this name identifies something, whatever its cells look like: `id` and `*_id`."""
    return name == "id" or name.endswith("_id")


def _is_prose(values: pl.Series) -> bool:
    """False if nearly all of the values have a form of `_NOT_PROSE`, or are dates."""
    import polars as pl

    from feature_store.warnings.date_columns import DATE

    sample = values.cast(pl.String).str.strip_chars()
    sample = sample.filter(sample.is_not_null() & (sample != "")).head(_SAMPLE_ROWS)
    if sample.is_empty():
        return True
    pattern = "|".join(f"(?:{form})" for form in (*_NOT_PROSE.values(), DATE))
    n_not_prose = int(sample.str.contains(f"^(?:{pattern})$").sum())
    return n_not_prose < _NOT_PROSE_SHARE * len(sample)
