"""`recmem match`: texts on the command line or in a file, the best first, with what each builds on."""

from __future__ import annotations

from pathlib import Path

import pytest

import small_training
from command_line import DONE, REFUSED, WRONG_USE, Outcome

TEXTS = ["audio codec for sound", "network transfer over HTTP and TLS", "vector graphics"]


@pytest.fixture(scope="module")
def bundle() -> Path:
    return small_training.trained() / "run" / "bundle"


def test_the_best_text_comes_first_with_its_reason(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text(f"{TEXTS[1]}\n\n{TEXTS[2]}\n", encoding="utf-8-sig")
    outcome = Outcome(
        "match", "--model", bundle, "--user", "curl", "--text", TEXTS[0], "--texts", tmp_path / "texts.txt"
    )
    assert outcome.code == DONE, outcome.err
    assert outcome.err == ""
    places = [outcome.out.index(text) for text in (TEXTS[1], *TEXTS[::2])]
    assert places[0] < min(places[1:])
    assert "because it builds on lib" in outcome.out
    assert "Match with the memory of curl" in outcome.out


def test_an_unknown_user_is_told_and_gets_the_scores_of_the_texts_alone(bundle: Path) -> None:
    outcome = Outcome("match", "--model", bundle, "--user", "newcomer", "--text", TEXTS[0])
    assert outcome.code == DONE
    assert outcome.err == (
        "newcomer: the user has no events in the store, so the scores are those of the texts alone.\n"
    )
    assert "no reason from memory" in outcome.out


def test_what_holds_no_text_is_refused(bundle: Path, tmp_path: Path) -> None:
    asked = ("match", "--model", bundle, "--user", "curl")
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes("größe".encode("latin-1"))
    for options, words in (
        ((), "--text: expected at least one text, got none"),
        (("--texts", tmp_path / "empty.txt"), "--text: expected at least one text, got none"),
        (("--texts", tmp_path / "latin.txt"), "--texts: expected text in UTF-8, got byte 0xf6"),
    ):
        outcome = Outcome(*asked, *options)
        assert outcome.code == WRONG_USE
        assert words in " ".join(outcome.err.replace("│", " ").split())
    absent = Outcome(*asked, "--texts", tmp_path / "absent.txt")
    assert absent.code == REFUSED
    assert "expected a usable file" in absent.err
