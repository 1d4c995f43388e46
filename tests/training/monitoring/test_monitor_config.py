"""Limits that are given on the command line."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from training.monitoring.monitor_config import MonitorConfig, config_with

PAGE = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text()


def test_limits_are_changed_by_name() -> None:
    assert config_with(["psi_warn=0.05", " rows = 5000 "]) == MonitorConfig(psi_warn=0.05, rows=5000)


def test_all_faults_are_told_at_once_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"psi_wran: .* Did you mean psi_warn") as caught:
        config_with(["psi_wran=0.2", "rows=many"])
    assert "rows: expected a whole number, got 'many'" in str(caught.value)


def test_a_warning_comes_before_its_alert() -> None:
    with pytest.raises(ValueError, match=re.escape("ks_warn, ks_alert: expected a warning before an alert, got 0.5")):
        config_with(["ks_warn=0.5"])


def test_page_lists_every_setting_with_its_default() -> None:
    for field in fields(MonitorConfig):
        assert re.search(rf"\| `{field.name}` \| {field.default:,} \|".replace(",", ",?"), PAGE), field.name
