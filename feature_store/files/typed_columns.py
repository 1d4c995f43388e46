"""Columns of text, as from CSV, in the type of their cells: numbers, true and false, or text."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from feature_store.files.file_rows import cut
from feature_store.schema import FACTS, ITEMS, Table
from feature_store.timestamps import TIMESTAMP
from feature_store.whole_numbers import finite_numbers

MISSING_WORDS = (
    "na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "none", "nil", "nat", "missing", "unknown", "undefined",
    "-", "--", "---", "?", ".", "inf", "-inf", "infinity", "-infinity", "#value!", "#ref!", "#div/0!", r"\n",
)  # fmt: skip
"""Words for a missing number, in lower case and without spaces around."""
ALWAYS_TEXT = ("title", "description")
"""Columns of items: a book may be called "1984"."""
_SAMPLE = 1_000
_NEARLY_ALL = 0.9
"""A column of text with at least this share of numbers, dressed or not, gets a warning about those that are dressed."""
_MOSTLY = 0.75
"""A column of text with at least this share of numbers gets a warning about its other cells."""
_MAX_EXAMPLE_CHARS = 40
_CURRENCY = r"\p{Sc}|AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|INR|JPY|NOK|PLN|SEK|USD|kr|z\u{142}|\u{5143}|\u{5186}"
_THOUSANDS = r"[.,'\u{2019} \u{a0}\u{202f}]"
"""What may stand between groups of three digits; the last two are spaces at which no line breaks."""
_DRESSED = rf"^({_CURRENCY})?\s?[+-]?[0-9]+({_THOUSANDS}[0-9]{{3}})*([.,][0-9]+)?\s?({_CURRENCY}|%)?$"
"""A number with a currency, a percent sign, a decimal comma or separators of thousands."""
_DECIMAL_COMMA = r"^[+-]?([0-9]+|[0-9]{1,3}([. \u{a0}\u{202f}][0-9]{3})+)(,[0-9]+)?$"
_WITHOUT_THOUSANDS = r"[. \u{a0}\u{202f}]"

_CODE = r"^\+|^-?0[0-9]|^[0-9]{8,}$"
"""A code rather than a number: with a plus sign or a zero in front, as telephone numbers, or as long as an EAN."""

Where = Callable[[int], str]
"""Where a row is in the file, for a message, by its position in the frame."""


def typed_columns(
    frame: pl.DataFrame, table: Table, *, where: Where, has_decimal_commas: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """The frame with columns of numbers as numbers, and warnings about columns that nearly are.

    Ids, names of events and times stay text: "007" is not 7, and times are parsed cell by cell. A column of numbers in
    which some cells say that there is none ("N/A", "-") becomes numbers with nulls if the table keeps columns of any
    name; elsewhere the table's own rules judge the cells.
    """
    warnings: list[str] = []
    typed = [
        column if _stays_text(column.name, table) else _typed(column, table, where, warnings, has_decimal_commas)
        for column in frame.get_columns()
    ]
    return frame.with_columns(typed), warnings


def _stays_text(name: str, table: Table) -> bool:
    is_time = any(column.name == name and column.dtype == TIMESTAMP for column in table.columns)
    return is_time or table is FACTS or name.endswith("_id") or name in ("cancels", "event", "available_from")


def _typed(column: pl.Series, table: Table, where: Where, warnings: list[str], has_decimal_commas: bool) -> pl.Series:
    n_cells = len(column) - column.null_count()
    if n_cells == 0:
        return column
    if len(column) > _SAMPLE:
        # Most columns of text are long and show at once that they are no numbers.
        sample = column.head(_SAMPLE).drop_nulls()
        if len(sample) and not _could_be_values(sample, has_decimal_commas):
            return column
    plain = column.str.strip_chars()
    if has_decimal_commas and _have_decimal_commas(plain):
        plain = plain.str.replace_all(_WITHOUT_THOUSANDS, "").str.replace(",", ".", literal=True)
    whole = plain.cast(pl.Int64, strict=False)
    if whole.null_count() == column.null_count():
        return whole
    numbers = finite_numbers(plain)
    if numbers.null_count() == column.null_count():
        return numbers
    words = plain.str.to_lowercase()
    if words.drop_nulls().is_in(["true", "false"]).all():
        return words == "true"
    if not table.keeps_extra and column.name not in table.features:
        return column
    others = column.is_not_null() & numbers.is_null()
    if found := _dressed_numbers(column, table, where):
        warnings += found
        return column
    if not numbers.count():
        return column
    if words.filter(others).is_in(MISSING_WORDS).all():
        warnings.append(
            f"{table.name}.{column.name}: {_no_numbers(column, others, where)}, and became null. "
            "The others are numbers."
        )
        return whole if whole.null_count() == numbers.null_count() else numbers
    warnings += nearly_numbers(column, table, where)
    return column


def text_of_numbers(column: pl.Series, table: Table, where: Where) -> list[str]:
    """What to say about a column that its file has as text although its cells are numbers: a warning, or nothing.

    Only of items, whose numbers are features. Elsewhere text is a category, so numbers as text may be meant so.
    """
    sample = column.drop_nulls().head(_SAMPLE)
    if table != ITEMS or column.name in ALWAYS_TEXT or _stays_text(column.name, table) or sample.is_empty():
        return nearly_numbers(column, table, where)
    if not _could_be_values(sample, has_decimal_commas=False):
        return []
    plain = column.str.strip_chars()
    if plain.str.contains(_CODE).any():
        return nearly_numbers(column, table, where)
    if found := _dressed_numbers(column, table, where):
        return found
    if finite_numbers(plain).null_count() > column.null_count():
        return nearly_numbers(column, table, where)
    return [
        f"{table.name}.{column.name}: the file has the column as text, such as "
        f"{cut(sample[0], _MAX_EXAMPLE_CHARS)!r}, although all its cells are numbers. A new store "
        "keeps it as text, not as a feature: cast it to numbers if it should be one."
    ]


def _dressed_numbers(column: pl.Series, table: Table, where: Where) -> list[str]:
    """What to say about a column of nearly only numbers with more than digits and a point: a warning, or nothing."""
    plain = column.str.strip_chars()
    numbers = finite_numbers(plain)
    dressed = column.is_not_null() & numbers.is_null() & plain.str.contains(_DRESSED).fill_null(value=False)
    n_cells = len(column) - column.null_count()
    if not dressed.any() or numbers.count() + int(dressed.sum()) < _NEARLY_ALL * n_cells:
        return []
    place = int(dressed.arg_true()[0])
    return [
        f"{table.name}.{column.name}: the column was read as text because its numbers hold more than digits and a "
        f"point, such as {cut(column[place], _MAX_EXAMPLE_CHARS)!r}{where(place)}. Write plain numbers, and "
        "give the table again, if the column should be a feature."
    ]


def nearly_numbers(column: pl.Series, table: Table, where: Where) -> list[str]:
    """What to say about a column of text of which most cells, but not all, are numbers: a warning, or nothing."""
    if _stays_text(column.name, table) or not finite_numbers(column.head(_SAMPLE).str.strip_chars()).count():
        return []
    plain = column.str.strip_chars()
    numbers = finite_numbers(plain)
    others = (plain != "").fill_null(value=False) & numbers.is_null()
    if not others.any() or numbers.count() < _MOSTLY * (numbers.count() + int(others.sum())):
        return []
    return [
        f"{table.name}.{column.name}: the column was read as text because {_no_numbers(column, others, where)}. "
        "Correct or empty such cells, and give the table again: then the column holds numbers, and can be a feature."
    ]


def _no_numbers(column: pl.Series, others: pl.Series, where: Where) -> str:
    """How many cells are no numbers, with an example."""
    n_others = int(others.sum())
    cells = "1 cell is" if n_others == 1 else f"{n_others:,} cells are"
    place = int(others.arg_true()[0])
    return f"{cells} no number, such as {cut(column[place], _MAX_EXAMPLE_CHARS)!r}{where(place)}"


def _have_decimal_commas(plain: pl.Series) -> bool:
    """Whether all cells are numbers as written with a decimal comma, and one has it: else 1.299 is not 1299."""
    cells = plain.drop_nulls()
    return bool(cells.str.contains(_DECIMAL_COMMA).all() and cells.str.contains(",", literal=True).any())


def _could_be_values(sample: pl.Series, has_decimal_commas: bool) -> bool:
    """Whether a number, with a currency or not, or a word for a truth value or a missing number is among some cells."""
    plain = sample.str.strip_chars()
    if has_decimal_commas:
        plain = plain.str.replace(",", ".", literal=True)
    words = plain.str.to_lowercase()
    if plain.str.contains(_DRESSED).any():
        return True
    return bool(finite_numbers(plain).count() > 0 or words.is_in([*MISSING_WORDS, "true", "false"]).any())
