"""Texts as they may reach a terminal: data cannot move the cursor, change colours or turn the reading direction."""

from __future__ import annotations

import unicodedata

_ESCAPED = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters, invisible format characters, what is no character, line separators."""
_JOINERS = frozenset("\u00ad\u200c\u200d")
"""Format characters that writing needs: soft hyphen, and the two that emoji, Persian and Indic scripts use."""


def printable(text: str) -> str:
    """The text with control characters written out (\\x1b, \\u202e); line breaks stay.

    >>> printable("red \\x1b[31m")
    'red \\\\x1b[31m'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if character == "\n" else _shown(character) for character in text)


def one_line(text: str) -> str:
    """As `printable`, line breaks written out too: for a title, an id or a cell, which are part of a line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _ESCAPED or character in _JOINERS:
        return character
    return ascii(character)[1:-1]
