"""Pictures of a training's report for the documentation: `make screenshots`, after `make demo`."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, Page

from chromium import PHONE, chromium, tab

REPORT = Path("runs/demo/report.html")
IMAGES = Path(__file__).parent / "images"
LARGEST_BYTES = 300_000
_NARROW = 1000
"""CSS pixels: as wide as the report's text and little more."""
_PHONE_HEIGHT = 844
_MARGIN = 12


def main(report: Path = REPORT, images: Path = IMAGES) -> list[Path]:
    """Writes the pictures, each as `report_<what>.png`, and returns their paths."""
    if not report.is_file():
        sys.exit(f"report: expected a file, got {report}. Run `make demo` first.")
    images.mkdir(exist_ok=True)
    address = report.absolute().as_uri()
    with chromium() as browser:
        written = [
            _picture(browser, address, images / "report_head.png", until="header"),
            _section(browser, address, images / "report_results.png", "Results"),
            _section(browser, address, images / "report_slices.png", "Slices"),
            _example(browser, address, images / "report_reasons.png"),
            _phone(browser, address, images / "report_phone_dark.png"),
        ]
    too_large = [path.name for path in written if path.stat().st_size > LARGEST_BYTES]
    if too_large:
        sys.exit(f"images: expected at most {LARGEST_BYTES:,} bytes each, got more in {', '.join(too_large)}.")
    return written


def _picture(browser: Browser, address: str, path: Path, *, until: str) -> Path:
    """The page from its top to the end of an element."""
    with tab(browser, width=_NARROW) as shown:
        shown.page.goto(address)
        below = shown.page.locator(until).bounding_box()
        assert below is not None
        height = below["y"] + below["height"] + _MARGIN
        shown.page.screenshot(path=path, clip={"x": 0, "y": 0, "width": _NARROW, "height": height}, full_page=True)
    return path


def _section(browser: Browser, address: str, path: Path, heading: str) -> Path:
    with tab(browser, width=_NARROW) as shown:
        shown.page.goto(address)
        title = shown.page.get_by_role("heading", name=heading, exact=True)
        shown.page.locator("section").filter(has=title).screenshot(path=path)
    return path


def _example(browser: Browser, address: str, path: Path) -> Path:
    """The first user of the examples with one item."""
    with tab(browser, width=_NARROW) as shown:
        shown.page.goto(address)
        _keep_first(shown.page, ".items > li")
        shown.page.add_style_tag(content=f".user {{ border: 0; margin: 0; padding: {_MARGIN}px; }}")
        shown.page.locator(".user").first.screenshot(path=path)
    return path


def _keep_first(page: Page, selector: str) -> None:
    others = "[...document.querySelectorAll(selector)].slice(1)"
    page.evaluate(f"selector => {others}.forEach(each => each.remove())", selector)


def _phone(browser: Browser, address: str, path: Path) -> Path:
    """The top of the page on a phone at night."""
    with tab(browser, width=PHONE, dark=True) as shown:
        shown.page.goto(address)
        shown.page.set_viewport_size({"width": PHONE, "height": _PHONE_HEIGHT})
        shown.page.screenshot(path=path)
    return path


if __name__ == "__main__":
    for each in main():
        print(each)
