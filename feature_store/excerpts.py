"""Shortens text of any length for a message."""

from __future__ import annotations


def excerpt(text: str, length: int) -> str:
    """The text, or its first `length` characters and three dots."""
    return text if len(text) <= length else f"{text[:length]}..."
