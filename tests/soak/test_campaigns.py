from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_make_soak_runs_every_campaign() -> None:
    # Read as text: the module parses the command line.
    main = (ROOT / "tests" / "soak" / "__main__.py").read_text()
    campaigns = set(re.findall(r'^    "([a-z-]+)": Campaign', main, re.MULTILINE))
    assert "kills" in campaigns
    assert set(re.findall(r"\$\(SOAK\) ([a-z-]+)", (ROOT / "Makefile").read_text())) == campaigns
