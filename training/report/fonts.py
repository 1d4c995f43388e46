"""Fonts for names in Chinese, Japanese, Korean or Thai: matplotlib's own font has none of their characters.

In a page the browser chooses fonts, so an SVG needs none. A PNG shows a box for each character that no font has.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

WIDE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei"),
    *("PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS"),
    *("Noto Sans Thai", "Leelawadee UI"),
)
"""Families of Linux, macOS and Windows, in the order in which they are tried."""
_OWN_FONT_UNTIL = "\u0e00"
"""Thai begins here; before it come the alphabets that matplotlib's font has."""


def use_fonts_for_names(figure: Figure) -> None:
    """Adds installed fonts to the figure's texts that have characters of such scripts; others stay as they are."""
    texts = [text for text in figure.findobj(Text) if any(letter >= _OWN_FONT_UNTIL for letter in _letters(text))]
    if not texts:
        return
    families = installed({font.name for font in font_manager.fontManager.ttflist})
    for text in texts:
        text.set_fontfamily(["sans-serif", *families])


def installed(families: Collection[str]) -> Sequence[str]:
    """Those of `WIDE_FONTS` that a machine with these families has."""
    return [name for name in WIDE_FONTS if name in families]


def _letters(text: Text) -> str:
    """The letters of a text; dashes, arrows and mathematical signs are in every font."""
    return "".join(filter(str.isalpha, text.get_text()))
