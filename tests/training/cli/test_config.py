"""`recmem config`: prints every setting, and checks a file."""

from __future__ import annotations

from pathlib import Path

from command_line import DONE, WRONG_USE, Outcome
from training.config import TrainingConfig
from training.configuration.effective import effective_config


def test_the_printed_file_is_the_defaults_and_leaves_pooling_to_the_encoder(tmp_path: Path) -> None:
    printed = Outcome("config")
    assert (printed.code, printed.err) == (DONE, "")
    path = tmp_path / "recmem.toml"
    path.write_text(printed.out)
    assert effective_config(path) == TrainingConfig()
    assert '\npooling = "auto"\n' in printed.out
    assert '\nmax_tokens = "auto"\n' in printed.out
    assert Outcome("config", "--config", path).out == printed.out


def test_what_is_given_is_printed_with_all_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[ranker]\nleaves = 9\n[encoder]\npooling = 'cls'\n")
    printed = Outcome("config", "--config", path, "--set", "ranker.leaves=31", "--set", "encoder.text_prefix=[a] ").out
    assert "\nleaves = 31\n" in printed
    assert '\npooling = "cls"\n' in printed
    assert '\ntext_prefix = "[a] "\n' in printed
    assert "\nrounds = 150\n" in printed


def test_faults_are_wrong_use_a_line_each(tmp_path: Path) -> None:
    outcome = Outcome("config", "--set", "ranker.leavs=3", "--set", "seed=-1")
    assert outcome.code == WRONG_USE
    assert outcome.err.partition("Error: ")[2].splitlines() == [
        "ranker.leavs (--set): expected the name of a setting, got an unknown one. Did you mean ranker.leaves?",
        "seed (--set): expected 0 to 2,147,483,647, got -1. The default is 0.",
    ]
    missing = Outcome("config", "--config", tmp_path / "no.toml")
    assert missing.code == WRONG_USE
    assert "no.toml: expected a TOML file, got none at" in missing.err
