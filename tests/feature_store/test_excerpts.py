"""Text that is shortened for a message keeps its beginning, and shows that it was cut."""

from __future__ import annotations

import pytest

from feature_store.excerpts import excerpt


@pytest.mark.parametrize(("text", "shown"), [("", ""), ("abc", "abc"), ("abcd", "abc..."), ("ébène", "ébè...")])
def test_only_longer_text_is_cut(text: str, shown: str) -> None:
    assert excerpt(text, 3) == shown
