"""Fonts for names in scripts that matplotlib's font lacks."""

from __future__ import annotations

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from training.report.fonts import WIDE_FONTS, installed, use_fonts_for_names


def named(*titles: str) -> Figure:
    figure = Figure()
    for title in titles:
        figure.text(0, 0, title)
    return figure


def test_chinese_names_get_an_installed_font_and_others_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [font_manager.FontEntry(name=name) for name in ("DejaVu Sans", "PingFang SC", "Noto Sans CJK SC")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", entries)
    figure = named("items.价格", "items.price ≤ 3 → …")
    before = figure.texts[1].get_fontfamily()
    use_fonts_for_names(figure)
    assert figure.texts[0].get_fontfamily() == ["sans-serif", "Noto Sans CJK SC", "PingFang SC"]
    assert figure.texts[1].get_fontfamily() == before


def test_a_machine_without_such_fonts_has_matplotlibs_own() -> None:
    assert installed({"DejaVu Sans"}) == []
    assert installed(WIDE_FONTS) == list(WIDE_FONTS)
