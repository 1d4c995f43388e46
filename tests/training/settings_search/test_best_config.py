"""The best settings as a file that a training takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tiny_encoder import tiny_folder
from training.config import TrainingConfig
from training.configuration.effective import effective_config, with_values
from training.settings_search.best_config import best_toml, changed_settings

FOUND = {"ranker.leaves": 31, "match.batch.negatives": 64, "match.dropout": 0.1, "new_item_rate": 1.0}


def test_file_has_only_what_differs(tmp_path: Path) -> None:
    text = best_toml(effective_config(), FOUND, "A figure.\nAnd another.")
    assert text.startswith("# A figure.\n# And another.\n\n# Found by the search:\n")
    parsed = tomllib.loads(text)
    assert parsed == {
        "new_item_rate": 1.0,
        "ranker": {"leaves": 31},
        "match": {"dropout": 0.1, "batch": {"negatives": 64}},
    }


@pytest.mark.parametrize(
    "base",
    [
        {},
        {"seed": 7, "ranker.l2": 0.5, "covisitation.half_lives": [2.0, 9.0], "signals.negative_events": ["skip"]},
        {"encoder.name": str(tiny_folder()), "encoder.max_tokens": 17, "encoder.text_prefix": 'say "x": '},
        {"tuning.learning_rate": 0.001, "promote": "never", "refit": False, "ranker.leaves": 9},
    ],
)
def test_file_gives_the_base_configuration_with_the_found_settings(base: dict[str, object], tmp_path: Path) -> None:
    config = effective_config(base)
    path = tmp_path / "best.toml"
    path.write_text(best_toml(config, FOUND, "A comment."))
    assert effective_config(path) == with_values(config, FOUND)


def test_file_of_the_defaults_says_so_and_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "best.toml"
    path.write_text(best_toml(effective_config(), {}, "None is better."))
    assert "# No setting differs from its default." in path.read_text()
    assert effective_config(path) == effective_config()


def test_settings_that_are_as_in_the_base_configuration_are_no_change() -> None:
    settings = {"ranker.leaves": 15, "ranker.rounds": 60, "match.dropout": 0.2}
    assert changed_settings(TrainingConfig(), settings) == {"ranker.rounds": 60}
