"""A warning about items' texts with HTML: the encoder would read its tags as words."""

from __future__ import annotations

import polars as pl

from feature_store.excerpts import excerpt

_MARKUP = (
    r"(?i)</?(?:p|br|hr|b|i|u|a|em|strong|small|span|div|ul|ol|li|dl|dt|dd|h[1-6]|table|tr|td|th|img|font|script|style"
    r"|section|blockquote|pre|sup|sub)(?:\s[^<>]*)?/?>|&(?:[a-z]{2,8}|#[0-9]{2,6}|#x[0-9a-f]{2,6});"
)
"""A common tag, or a character reference such as `&amp;`."""
_SAMPLE_ROWS = 10_000
_LEAST_SHARE = 0.05
_MAX_EXAMPLE_CHARS = 40


def markup_warnings(items: pl.DataFrame) -> list[str]:
    """A sentence or two about each column of texts of which one in twenty of a sample or more holds HTML."""
    warnings = []
    for column in items.iter_columns():
        if column.dtype != pl.String or column.name == "item_id":
            continue
        texts = column.drop_nulls()
        sample = texts.gather_every(-(-len(texts) // _SAMPLE_ROWS) or 1)
        marked = sample.filter(sample.str.contains(_MARKUP))
        if len(marked) and len(marked) >= _LEAST_SHARE * len(sample):
            found = excerpt(marked.str.extract(f"({_MARKUP})")[0], _MAX_EXAMPLE_CHARS)
            share = f"{len(marked) / len(sample):.0%}"
            warnings.append(
                f"{column.name}: {share} of the texts contain HTML, such as {found!r}. The text encoder reads tags as "
                "words: remove them, and give the items again."
            )
    return warnings
