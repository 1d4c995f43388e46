"""A headless Chromium, for tests that look at pages as a browser shows them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright

from services import CHROMIUM, chromium_program

DESKTOP = 1280
PHONE = 390
"""Widths of a window in CSS pixels."""
_HEIGHT = 900
_COMPLAINTS = ("error", "warning")
_NO_REQUEST = ("data:", "blob:", "about:")


@dataclass
class Tab:
    """A page that is open, and what the browser had to say about it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of the console, uncaught exceptions, requests that failed."""
    requests: list[str] = field(default_factory=list)
    """The addresses that were asked for, without those of data within the page."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, for as long as the block lasts. The test skips where there is no Chromium."""
    program = chromium_program()
    if program is None:
        pytest.skip(CHROMIUM)
    # Chromium refuses its sandbox to root, which is what CI runs as.
    options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Browser, *, width: int = DESKTOP, dark: bool = False, scale: float = 1) -> Iterator[Tab]:
    """An empty tab of its own, without cookies or cache; `scale` is in pixels of the screen per CSS pixel."""
    context = browser.new_context(
        viewport={"width": width, "height": _HEIGHT},
        color_scheme="dark" if dark else "light",
        device_scale_factor=scale,
        has_touch=width <= PHONE,
    )
    try:
        opened = Tab(context.new_page())
        _listen(opened)
        yield opened
    finally:
        context.close()


def _listen(opened: Tab) -> None:
    def on_console(message: ConsoleMessage) -> None:
        if message.type in _COMPLAINTS:
            opened.complaints.append(f"console {message.type}: {message.text}")

    def on_request(request: Request) -> None:
        if not request.url.startswith(_NO_REQUEST):
            opened.requests.append(request.url)

    def on_response(response: Response) -> None:
        if response.status >= 400:
            opened.complaints.append(f"status {response.status}: {response.url}")

    opened.page.on("console", on_console)
    opened.page.on("pageerror", lambda error: opened.complaints.append(f"exception: {error}"))
    opened.page.on("request", on_request)
    opened.page.on("requestfailed", lambda request: opened.complaints.append(f"failed: {request.url}"))
    opened.page.on("response", on_response)
