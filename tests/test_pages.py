"""The pages for newcomers hold: their commands run as they stand, one after the other, and the messages exist."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

import nightly_log
import recmem
import small_training
from command_line import DONE, Outcome
from recmem.server.app import create_app
from recmem.server.current_model import CurrentModel
from recmem_service import serving
from training.configuration.config_text import config_toml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DAYS = 14
LONGEST_PAGE = 130
"""Lines."""
USER_PAGES = (
    *("your_data.md", "your_features.md", "weights_and_positions.md", "knowledge.md", "production.md"),
    "conversations.md",
    "troubleshooting.md",
)
QUICK = {"train": ["--config", "quick.toml"], "tune": ["--config", "quick.toml", "--trials", "2"]}
"""What the tests add to the pages' commands, so that they take seconds."""
PAGE_REDIS = "redis://localhost:6379/0"


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the tables that the pages name."""
    monkeypatch.chdir(tmp_path)
    events = nightly_log.events_of(DAYS)
    untimed = pl.DataFrame({"user_id": ["reader-00"], "item_id": ["0-05"], "timestamp": ["soon"]})
    times = events.with_columns(pl.col("timestamp").dt.to_string("iso:strict"))
    pl.concat([times, untimed]).write_parquet("events.parquet")
    nightly_log.events_of(DAYS + 1).write_parquet("new_events.parquet")
    nightly_log.items().write_parquet("items.parquet")
    position = pl.int_range(pl.len()).over("impression_id")
    features = {"ctr_7d": pl.col("label") * 0.1, "device": pl.lit("app"), "position": position}
    nightly_log.impressions_of(DAYS).with_columns(**features).write_parquet("impressions.parquet")
    users = events.select(pl.col("user_id").unique().sort())
    users.with_columns(interests=pl.lit("curl http"), age=pl.int_range(pl.len())).write_parquet("users.parquet")
    readers = events.select(pl.col("user_id").unique().sort().head(3))
    readers.join(nightly_log.items().select("item_id"), how="cross").write_parquet("candidates.parquet")
    Path("quick.toml").write_text(config_toml(nightly_log.settings()))
    return tmp_path


def commands(page: str) -> list[list[str]]:
    """The commands of a page's blocks, in order, each as its words."""
    lines = re.findall(r"^ {4}(.*)$", (DOCS / page).read_text(), re.MULTILINE)
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [shlex.split(line, comments=True) for line in joined.splitlines() if re.match(r"(recmem|curl|pip) ", line)]


def run(words: list[str]) -> Outcome:
    """Runs a command of recmem, which has to succeed."""
    outcome = Outcome(*words[1:], *QUICK.get(words[1], []))
    assert outcome.code == DONE, f"{shlex.join(words)}\n{outcome.err}"
    return outcome


def serve(words: list[str], request: list[str] | None) -> None:
    """Starts the service of a command, and asks it what the page asks with curl."""
    options = words[2:]
    if "--port" in options:  # the test has one of its own
        at = options.index("--port")
        del options[at : at + 2]
    with serving(*options) as ask:
        assert ask("/healthz")["status"] == "ok"
        if request is not None:
            path = request[1].removeprefix("localhost:8000")
            answer = ask(path, json.loads(request[request.index("-d") + 1]))
            assert answer["items"][0]["rank"] == 1
            assert not answer["unknown_user"]


def test_your_data(tables: Path) -> None:
    for words in commands("your_data.md"):
        if words[1] == "resubmit":
            rows = Path("rejected.jsonl").read_text()
            assert "soon" in rows
            Path("rejected.jsonl").write_text(rows.replace("soon", "2026-03-15"))
        outcome = run(words)
        if words[1] == "train" and "--items" in words:
            assert "1 of" in outcome.err  # the rejected row
        if words[1] == "resubmit":
            assert "1 row" in outcome.out
    assert (tables / "run" / "report.html").is_file()


@pytest.mark.parametrize("page", ["your_features.md", "weights_and_positions.md"])
def test_trainings_with_features_weights_and_positions(page: str, tables: Path) -> None:
    trained = [words for words in commands(page) if words[1] == "train"]
    assert len(trained) == 2
    for words in trained:
        run(words)
        assert (tables / "run" / "report.html").is_file()


def test_facts(tables: Path) -> None:
    # A log on which text features pay: reasons name facts only if the ranker that ships reads them.
    small_training.write_tables(tables)
    libraries = small_training.items()
    topics = libraries.select(subject="item_id", relation=pl.lit("topic"), object="section")
    topics.write_csv("facts.csv")
    iri = '<http://example.org/{}> <http://example.org/shelf> "upper"@en .\n'
    Path("more_facts.nt").write_text(iri.format("libssl-dev"))
    libraries.with_columns(genre="section").write_parquet("items_with_genres.parquet")
    Path("quick.toml").write_text("tree_members = 1\n")
    page = commands("knowledge.md")
    for words in page:
        if "--fact-columns" in words:
            run(shlex.split("recmem ingest --store run/store --items items_with_genres.parquet"))
        outcome = run(words)
        if words[1] == "explain":
            assert "shares topic: network" in outcome.out, outcome.out
        if words[1] == "ingest":
            assert "facts: 1 new, 0 duplicate, 0 rejected of 1 row" in outcome.out
    assert [words[1] for words in page] == ["train", "explain", "ingest", "train"]
    assert "genre" in (tables / "run2" / "report.html").read_text()


def test_production(tables: Path, redis_url: str) -> None:
    # The night before: a version to go back to.
    run(shlex.split("recmem ingest --store store --items items.parquet --events events.parquet"))
    run(shlex.split("recmem train --store store --out run"))
    page = [
        [word.replace("redis://localhost:6379/0", redis_url) for word in words] for words in commands("production.md")
    ]
    for words, following in zip(page, [*page[1:], []], strict=True):
        if words[:2] == ["recmem", "serve"]:
            serve(words, following if following[:1] == ["curl"] else None)
        elif words[0] == "recmem":
            run(words)
        elif words[0] == "pip":
            assert words == ["pip", "install", ".[serve]"]
        else:
            assert words[0] == "curl"
    assert json.loads(Path("watch/monitor.json").read_text())
    assert Path("tuning/best.toml").is_file()
    assert "champion" in run(["recmem", "versions", "--tracking", "run"]).out
    assert len(pl.read_parquet("scores.parquet")) == len(pl.read_parquet("candidates.parquet"))


def test_conversations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(small_training.trained() / "run" / "bundle", tmp_path / "run" / "bundle")
    monkeypatch.chdir(tmp_path)
    scored, found, answered, observed = _printed_by("conversations.md", capsys)
    assert scored.index("libcurl to fetch it") < scored.index("Draw it with Cairo")
    assert "because it builds on" in scored
    assert "libssl-dev" in found
    assert "2026-04-01" in found
    assert answered == "Take libssl.\n"
    assert observed == "libopus-dev\n"
    match, served, asked = (words for words in commands("conversations.md") if words[0] != "pip")
    assert "because it builds on" in run(match).out
    assert served[:2] == ["recmem", "serve"]
    source = served[served.index("--model") + 1]
    with TestClient(create_app(CurrentModel(source, recmem.load))) as client:
        path = asked[1].removeprefix("localhost:8000")
        answer = client.post(path, json=json.loads(asked[asked.index("-d") + 1])).json()
    assert not answer["unknown_user"]
    fetch, draw = answer["texts"]
    assert fetch["match_raw"] > draw["match_raw"]
    assert len(fetch["reasons"]["match_raw"]) == 4


def _printed_by(page: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What each of a page's blocks of Python prints, run one after the other."""
    names: dict[str, object] = {}
    printed = []
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        exec(block, names)
        printed.append(capsys.readouterr().out)
    return printed


def test_messages_of_troubleshooting_are_those_of_the_code() -> None:
    page = (DOCS / "troubleshooting.md").read_text()
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 10
    texts = "\n".join(_texts_of_the_code())
    assert [message for message in messages if message not in texts] == []


def _texts_of_the_code() -> Iterator[str]:
    """Every text of the packages' source, with {} for what is filled in, and Makefile's."""
    yield (ROOT / "Makefile").read_text()
    for package in ("feature_store", "recmem", "training"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                    yield "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


@pytest.mark.parametrize("page", USER_PAGES)
def test_options_in_the_text_exist(page: str) -> None:
    text = (DOCS / page).read_text()
    for command in re.findall(r"`(recmem [a-z]+ [^`]*--[^`]*)`", text):
        words = command.replace("\n", " ").split()
        options = {word for word in words if word.startswith("--")}
        help_text = Outcome(words[1], "--help").out
        assert {option for option in options if option not in help_text} == set(), command


def test_pages_are_short() -> None:
    for page in ("your_ranker.md", *USER_PAGES):
        assert len((DOCS / page).read_text().splitlines()) <= LONGEST_PAGE, page
