"""Recognises an id in whatever spelling a rejected row holds it: `70000007.0`, `" 70000007"`, `7.0000007e7`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import unquote

LONG_ID = 5
"""From this many characters on, an id is recognised in any column and as a word within a text."""

_MAX_NUMBER_CHARS = 100
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_GROUPED = re.compile(r"(?<!\d)\d{1,3}(?:[,. _'\u2019]\d{3})+(?!\d)")
_NOT_DIGITS = re.compile(r"[^\d+-]")
_SEPARATORS = re.compile(r"[,;|\t]")
_BETWEEN_WORDS = re.compile(r"[\s,;|\"'`()\[\]{}<>=:/\\]+")
_EDGES = " \t\r\n\v\f\"'`\ufeff\u200b\u2060="


class IdSpellings:
    """One id in all its spellings.

    Equal are texts that differ in white space or quotes around them, upper and lower case, Unicode forms, JSON or URL
    escapes; and numbers of equal value: `070000007`, `70000007.0`, `7.0000007e7`, `70,000,007`. In doubt it is the
    id: of a rejected row nothing is used, so one too many may go rather than one too few. Ids shorter than `LONG_ID`
    would be found everywhere ("1" is also a label), so these count only as a whole cell or as a field of an unread
    line and, if they are numbers, only in columns that are named `...id`.
    """

    def __init__(self, value: object) -> None:
        self._text = _plain(str(value))
        self._number = _number(self._text)
        self.is_long = len(self._text) >= LONG_ID
        self._as_word = re.compile(rf"(?<![^\W_]){re.escape(self._text)}(?![^\W_])")
        self._known: dict[str, bool] = {}

    def occur_in(self, cell: Any, *, column: str = "id") -> bool:
        """Whether a cell, or anything within it if it is a list or an object, is or mentions the id."""
        if cell is None or isinstance(cell, bool):
            return False
        if isinstance(cell, Mapping):
            return any(self.occur_in(name) or self.occur_in(inner, column=name) for name, inner in cell.items())
        if isinstance(cell, list | tuple):
            return any(self.occur_in(inner, column=column) for inner in cell)
        is_read = self.is_long or self._number is None or column.lower().endswith("id")
        if isinstance(cell, int | float | Decimal):
            return is_read and self._equals_number(cell)
        text = str(cell)
        if text not in self._known:
            self._known[text] = self._occur_in_text(text, is_read=True)
        return self._known[text] and (is_read or self._occur_in_text(text, is_read=False))

    def _occur_in_text(self, raw: str, *, is_read: bool) -> bool:
        text = _plain(raw)
        if is_read and self._equals(text):
            return True
        if not (self.is_long or _SEPARATORS.search(raw)):
            return False
        if self.is_long and self._as_word.search(text):
            return True
        words = [*_SEPARATORS.split(raw), *_BETWEEN_WORDS.split(raw), *_GROUPED.findall(text)]
        return any(self._equals(_plain(word)) for word in words)

    def _equals(self, text: str) -> bool:
        if text == self._text:
            return bool(text)
        return self._number is not None and _number(text) == self._number

    def _equals_number(self, cell: float | Decimal) -> bool:
        if self._number is None:
            return False
        if isinstance(cell, float):
            # The cell may be the id as it was rounded to a float.
            return cell == float(self._number)
        return Decimal(cell) == self._number


def _plain(text: str) -> str:
    """The text without what spellings of one id differ in."""
    if "\\u" in text:
        text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    if "%" in text:
        text = unquote(text)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().strip(_EDGES).split())


def _number(text: str) -> Decimal | None:
    """The text's value; None if it is no finite number."""
    if not text or len(text) > _MAX_NUMBER_CHARS or not (text[0].isdigit() or text[0] in "+-."):
        return None
    if _GROUPED.fullmatch(text):
        text = _NOT_DIGITS.sub("", text)
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
