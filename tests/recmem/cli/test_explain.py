"""`recmem explain`: a reason, and parts that add up."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import small_training
from command_line import DONE, REFUSED, WRONG_USE, Outcome
from feature_store import Store


@pytest.fixture(scope="module")
def run() -> Path:
    return small_training.trained() / "run"


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


def test_the_reason_is_printed_and_the_parts_add_up(bundle: Path) -> None:
    outcome = Outcome("explain", "--model", bundle, "--user", "curl", "--item", "libopus-dev")
    assert outcome.code == DONE, outcome.err
    assert "because" in outcome.out
    assert "Match score" in outcome.out
    match, ranking = outcome.out.split("Ranking score")
    for part, total in ((match, "match score, raw"), (ranking, "ranking score")):
        lines = [line.rsplit(None, 1) for line in part.splitlines() if line.rsplit(None, 1)[-1:] and _is_number(line)]
        parts = {words.strip(): float(number) for words, number in lines}
        expected = next(value for words, value in parts.items() if words == total)
        assert sum(value for words, value in parts.items() if words != total) == pytest.approx(expected, abs=0.02)


def _is_number(line: str) -> bool:
    return line.rsplit(None, 1)[-1].lstrip("+-").replace(".", "", 1).isdigit() and len(line.rsplit(None, 1)) == 2


def test_an_unknown_user_gets_the_base_score(bundle: Path) -> None:
    outcome = Outcome("explain", "--model", bundle, "--user", "newcomer", "--item", "libpng-dev")
    assert outcome.code == DONE, outcome.err
    assert "base score (not from any memory slot)" in outcome.out


ATTACK = "\x1b[31mred\x1b[0m \x9b31m \u202e\nsecond line [bold]x[/bold] [link=http://a]y[/link]"
SHOWN = r"\x1b[31mred\x1b[0m \x9b31m \u202e\nsecond line [bold]x[/bold] [link=http://a]y[/link]"


@pytest.fixture(scope="module")
def attacking_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose titles, and one of whose ids, would act on a terminal."""
    store = Store.create(tmp_path_factory.mktemp("attack") / "store")
    items = small_training.items().with_columns(title=pl.lit(ATTACK))
    odd_item = pl.DataFrame({"item_id": ["odd\x1b[2Jid"], "title": ["plain"]})
    store.append_items(pl.concat([items, odd_item], how="diagonal"))
    odd_event = small_training.events().head(1).with_columns(item_id=pl.lit("odd\x1b[2Jid"), user_id=pl.lit("curl"))
    store.append_events(pl.concat([small_training.events(), odd_event]))
    return Path(store.path)


@pytest.mark.parametrize("command", [("explain", "--item", "libopus-dev"), ("memory",)])
def test_titles_and_ids_cannot_act_on_the_terminal(
    bundle: Path, attacking_store: Path, command: tuple[str, ...]
) -> None:
    outcome = Outcome(*command, "--model", bundle, "--store", attacking_store, "--user", "curl")
    assert outcome.code == DONE, outcome.err
    words = " ".join(outcome.out.split())
    assert SHOWN.split(" ")[0] in words
    assert r"odd\x1b[2Jid" in words
    assert not set(outcome.out) & {"\x1b", "\x9b", "\u202e"}
    assert "[bold]x[/bold]" in words


def test_what_is_written_to_files_keeps_every_character(bundle: Path, attacking_store: Path, tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["curl"], "item_id": ["odd\x1b[2Jid"], "note": [ATTACK]})
    frame.write_parquet(tmp_path / "candidates.parquet")
    paths = ("--candidates", tmp_path / "candidates.parquet", "--out", tmp_path / "scores.parquet")
    outcome = Outcome("score", "--model", bundle, "--store", attacking_store, *paths)
    assert outcome.code == DONE, outcome.err
    scored = pl.read_parquet(tmp_path / "scores.parquet")
    assert scored.select(frame.columns).equals(frame)


@pytest.mark.parametrize("user", ["no\x1b[31mbody", "no\nbody", "no\u202ebody"])
def test_an_id_from_the_command_line_is_printed_in_one_line(bundle: Path, user: str) -> None:
    outcome = Outcome("memory", "--model", bundle, "--user", user)
    assert outcome.out.startswith("The memory of no\\")
    assert len(outcome.out.splitlines()) == 1
    unknown = Outcome("explain", "--model", bundle, "--user", "curl", "--item", user)
    assert unknown.code == REFUSED
    assert not set(unknown.err) & {"\x1b", "\u202e"}


def test_features_are_given_by_their_columns_and_must_be_those_of_the_model(bundle: Path) -> None:
    words = ["explain", "--model", bundle, "--user", "curl", "--item", "libpng-dev", "--feature"]
    unreadable = Outcome(*words, "ctr_7d")
    assert unreadable.code == WRONG_USE
    assert "--feature: expected COLUMN=VALUE, got 'ctr_7d'" in unreadable.err
    foreign = Outcome(*words, "ctr_7d=0.3")
    assert foreign.code == REFUSED
    assert "features: expected features of the model (none: it was trained without), got 'ctr_7d'" in foreign.err
