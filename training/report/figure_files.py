"""Figures as SVG for a page, and as PNG files."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.figure import Figure

from training.report.charts import CSS_VARIABLES, STYLE
from training.report.fonts import use_fonts_for_names


def to_svg(figure: Figure) -> str:
    """The figure as an `<svg>` element to embed in HTML: text stays text, colours are CSS variables."""
    buffer = io.StringIO()
    use_fonts_for_names(figure)  # for the widths of names; a browser takes its own
    with mpl.rc_context(STYLE), _without_glyph_warnings():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    # Before the element are an XML declaration and a doctype, which HTML does not allow there.
    svg = svg[svg.index("<svg") :]
    for colour, variable in CSS_VARIABLES.items():
        svg = svg.replace(colour, f"var({variable}, {colour})")
    return svg


def to_png(figure: Figure, *, dpi: int = 160) -> bytes:
    """The figure as a PNG on white."""
    buffer = io.BytesIO()
    use_fonts_for_names(figure)
    with mpl.rc_context(STYLE), _without_glyph_warnings():
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    return buffer.getvalue()


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Feature names may be in any script; a glyph that the font lacks is not an error of the run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield
