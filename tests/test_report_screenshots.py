"""The script that takes the documentation's pictures of a report, on a small one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from chromium import PHONE
from example_report import content, ledger
from training.report.html import render_report
from training.report.run_stamp import RunStamp, stamped

ROOT = Path(__file__).parents[1]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_screenshots", ROOT / "docs" / "report_screenshots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB")


def test_each_picture_is_written_and_small_enough_for_a_page(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    stamp = RunStamp("2026-11-28T14:50:00+00:00", 61, (), "recmem, version 1", "", "promoted", "0a1b")
    report.write_text(stamped(render_report(ledger(), content()), stamp), encoding="utf-8")
    written = script().main(report, tmp_path / "images")
    pictures = {path.name: picture(path) for path in written}
    sizes = {name: shown.size for name, shown in pictures.items()}
    assert set(sizes) == {f"report_{name}.png" for name in ("head", "results", "slices", "reasons", "phone_dark")}
    assert sizes["report_phone_dark.png"] == (PHONE, 844)
    assert all(width > 300 and height > 100 for width, height in sizes.values())
    assert pictures["report_phone_dark.png"].getpixel((2, 2)) == (18, 21, 27)


def test_the_pictures_of_the_documentation_are_those_that_the_script_writes() -> None:
    images = ROOT / "docs" / "images"
    assert {path.name for path in images.glob("report_*.png")} == {
        f"report_{name}.png" for name in ("head", "results", "slices", "reasons", "phone_dark")
    }
    assert all(path.stat().st_size < script().LARGEST_BYTES for path in images.glob("report_*.png"))


def test_without_a_report_the_script_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Run `make demo` first"):
        script().main(tmp_path / "absent.html", tmp_path)
