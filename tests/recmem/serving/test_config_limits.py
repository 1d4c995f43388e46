"""Bounds of a bundle's configuration: a good one passes, one that would overflow or never end is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from changed_bundles import rewrite
from debian_model import trained_model
from feature_store import DataError
from recmem.serving.bundle import load_bundle, read_config
from recmem.serving.config_limits import MAX_CHARACTERS, check_limits


def test_the_configuration_of_a_training_passes() -> None:
    check_limits(read_config(trained_model().bundle))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("dataset.refresh_every", 0, r"refresh_every: expected 1 to \d+, got 0"),
        ("dataset.refresh_every", 1, r"refresh_every: expected at least span / 100,000"),
        ("dataset.refresh_origin", 2**63 - 1, r"refresh_origin: expected -\d+ to \d+"),
        ("dataset.covisitation.ease_items", 10**9, r"ease_items: expected 1 to 20,000, got 1000000000"),
        ("dataset.covisitation.lags", 10**9, r"lags: expected 1 to 1,000"),
        ("dataset.covisitation.neighbours", -1, r"neighbours: expected 1 to"),
        ("dataset.covisitation.ease_ridge", 0.0, r"ease_ridge: expected 0.01 to"),
        ("dataset.covisitation.half_lives", [3.0, 0.0], r"half_lives: expected a list of 2 numbers, each 1e-06 to"),
        ("dataset.counters.long", 2**62, r"counters\.long: expected 1 to"),
        ("dataset.counters.span", 0, r"counters\.span: expected 1 to"),
        ("encoder.max_tokens", 10**9, r"max_tokens: expected 4 to 1,000,000"),
        ("retrieval.candidates", 2**62, r"candidates: expected 1 to"),
        ("calibration.intercept", 1e300, r"intercept: expected -1000000000\.0 to"),
        ("store_versions", {"items": -1}, r"store_versions: expected versions from 0, got -1"),
        ("text_columns", ["title", "title"], r"text_columns: expected at most 20,000 columns, each once, got 2"),
        ("recmem_version", "1\x1b[2J", r"recmem_version: expected at most 10000 characters"),
        ("encoder.text_prefix", "\x1b[2J", r"encoder\.text_prefix: expected text"),
        ("store", "x" * (MAX_CHARACTERS + 1), r"store: expected at most 10000 characters"),
        ("memory.recent", True, r"memory\.recent: expected int, got True"),
        ("memory.recent", 50.0, r"memory\.recent: expected int, got 50\.0"),
        ("match.n_heads", "4", r"match\.n_heads: expected int, got '4'"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_its_place(folder: Path, path: str, value: Any, words: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        node = manifest["config"]
        *parents, key = path.split(".")
        for parent in parents:
            node = node[parent]
        assert key in node
        node[key] = value

    rewrite(folder, change)
    with pytest.raises(DataError, match=rf"^bundle\.config.*{words}") as refused:
        load_bundle(folder)
    assert "\x1b" not in str(refused.value)


def test_a_prefix_may_have_line_breaks(folder: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["config"]["encoder"]["text_prefix"] = "Instruct: find libraries\n\tQuery: "

    rewrite(folder, change)
    check_limits(read_config(folder))
