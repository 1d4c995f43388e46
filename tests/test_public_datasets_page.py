"""The commands of docs/public_datasets.md run as they stand, on files made here in the forms of the data sets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

import nightly_log
from command_line import DONE, Outcome
from published_files import write_lines, write_records
from training.configuration.config_text import config_toml

PAGE = Path(__file__).parents[1] / "docs" / "public_datasets.md"
LONGEST_PAGE = 130
"""Lines."""
DAYS = 12
TRAIN_DAYS = 9
DEV_DAYS = 11
"""The rest is the test split."""
HISTORY_DAYS = 3
"""What happened in these is known as histories only."""


def commands(section: str) -> list[list[str]]:
    """The commands of a section of the page, in order, each as its words."""
    text = PAGE.read_text().split(f"\n## {section}", 1)[1].split("\n## ", 1)[0]
    lines = re.sub(r"\\\n\s*", "", "\n".join(re.findall(r"^ {4}(.*)$", text, re.MULTILINE))).splitlines()
    return [shlex.split(line) for line in lines if line.startswith("recmem ")]


def run(words: list[str]) -> Outcome:
    """Runs a command, which has to succeed; trainings get settings that take seconds."""
    quick = ["--config", "quick.toml"] if words[1] == "train" else []
    outcome = Outcome(*words[1:], *quick)
    assert outcome.code == DONE, f"{shlex.join(words)}\n{outcome.err}"
    return outcome


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("quick.toml").write_text(config_toml(nightly_log.settings()))
    return tmp_path


def numbers() -> Mapping[str, int]:
    """The items of the log as numbers from 1."""
    return {item: number for number, item in enumerate(nightly_log.items()["item_id"], start=1)}


def ratings() -> list[tuple[int, int, int, int]]:
    """User, item, stars and epoch seconds of the log's events."""
    number = numbers()
    return [
        (int(user[-2:]) + 1, number[item], 5 - place % 2, int(time.timestamp()))
        for place, (user, item, time) in enumerate(nightly_log.events_of(DAYS).iter_rows())
    ]


def us_time(time: datetime) -> str:
    return f"{time.month}/{time.day}/{time.year} {time.hour % 12 or 12}:{time:%M:%S %p}"


def write_mind() -> None:
    """The three splits: what happened in the first days are histories, and the test split has no labels."""
    number = numbers()
    news = [
        f"N{number[item]}\tnews\ttheme\t{title}\t\thttps://example/{number[item]}\t[]\t[]"
        for item, title in nightly_log.items().select("item_id", "title").iter_rows()
    ]
    shown = (
        nightly_log.impressions_of(DAYS)
        .group_by("impression_id", maintain_order=True)
        .agg(pl.col("user_id", "timestamp").first(), "item_id", "label")
    )
    histories: dict[str, list[str]] = {}
    splits: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for place, (_, user, time, items, labels) in enumerate(shown.iter_rows(), start=1):
        day = (time.date() - nightly_log.START.date()).days
        clicked = [f"N{number[item]}" for item, label in zip(items, labels, strict=True) if label]
        if day < HISTORY_DAYS:
            histories.setdefault(user, []).extend(clicked)
            continue
        split = "train" if day < TRAIN_DAYS else "dev" if day < DEV_DAYS else "test"
        labelled = [f"N{number[item]}-{label}" for item, label in zip(items, labels, strict=True)]
        cells = " ".join(cell.rsplit("-", 1)[0] for cell in labelled) if split == "test" else " ".join(labelled)
        splits[split].append(f"{place}\t{user}\t{us_time(time)}\t{' '.join(histories.get(user, []))}\t{cells}")
    for split, rows in splits.items():
        Path(f"MIND_{split}").mkdir()
        write_lines(Path(f"MIND_{split}/news.tsv"), news)
        write_lines(Path(f"MIND_{split}/behaviors.tsv"), rows)


def titles() -> Iterator[tuple[int, str]]:
    for item, title in nightly_log.items().select("item_id", "title").iter_rows():
        yield numbers()[item], title


def test_mind_from_its_files_to_the_leaderboards(folder: Path) -> None:
    write_mind()
    steps = commands("MIND")
    assert [words[1] for words in steps] == ["import", "train", "score", "export"]
    for words in steps:
        outcome = run(words)
        if words[1] == "import":
            # The receipt's commands are those of the page.
            told = [shlex.split(line) for line in re.findall(r"^ {2}(recmem .*)$", outcome.out, re.MULTILINE)]
            assert told == steps[1:]
        if words[1] == "train":
            assert "'click'" in outcome.err + outcome.out
    rows = Path("MIND_test/behaviors.tsv").read_text().splitlines()
    lines = Path("prediction.txt").read_text().splitlines()
    assert [line.split(" ")[0] for line in lines] == [row.split("\t")[0] for row in rows]
    scored = pl.read_parquet("scores.parquet").select("impression_id", "item_id", "score").rows()
    scores = {(impression, item): score for impression, item, score in scored}
    for line, row in zip(lines, rows, strict=True):
        number, ranks = line.split(" ")
        shown = row.split("\t")[4].split(" ")
        by_rank = dict(zip(map(int, ranks.strip("[]").split(",")), shown, strict=True))
        in_order = [scores[number, by_rank[rank]] for rank in range(1, len(shown) + 1)]
        assert in_order == sorted(in_order, reverse=True)


def write_movielens() -> None:
    for name in ("ml-latest-small", "ml-1m", "ml-100k"):
        Path(name).mkdir()
    films = list(titles())
    rows = ratings()
    write_lines(
        Path("ml-latest-small/movies.csv"),
        ["movieId,title,genres", *(f'{n},"{title}, a film (1999)",Drama' for n, title in films)],
    )
    csv = [f"{user},{item},{stars}.0,{time}" for user, item, stars, time in rows]
    write_lines(Path("ml-latest-small/ratings.csv"), ["userId,movieId,rating,timestamp", *csv])
    tags = [f"{user},{item},curl,{time}" for user, item, _, time in rows[::5]]
    write_lines(Path("ml-latest-small/tags.csv"), ["userId,movieId,tag,timestamp", *tags])
    write_lines(Path("ml-1m/movies.dat"), [f"{n}::{title} é (1999)::Drama" for n, title in films], encoding="latin-1")
    write_lines(Path("ml-1m/ratings.dat"), ["::".join(map(str, row)) for row in rows])
    write_lines(Path("ml-1m/users.dat"), ["1::F::25::0::00000"])
    flags = "|".join(["0"] * 19)
    write_lines(Path("ml-100k/u.item"), [f"{n}|{title} (1999)|01-Jan-1999||x|{flags}" for n, title in films])
    write_lines(Path("ml-100k/u.data"), ["\t".join(map(str, row)) for row in rows])
    write_lines(Path("ml-100k/u.user"), ["1|25|F|other|00000"])


def write_amazon() -> None:
    reviews = [
        {"reviewerID": f"A{user}", "asin": f"B{item}", "overall": float(stars), "unixReviewTime": time}
        for user, item, stars, time in ratings()
    ]
    write_records(Path("Office_Products_5.json.gz"), reviews)
    products = [{"asin": f"B{n}", "title": title, "category": ["Office"]} for n, title in titles()]
    write_records(Path("meta_Office_Products.json.gz"), products)


def write_goodreads() -> None:
    books = [{"book_id": str(n), "title": title, "authors": [{"author_id": "1"}]} for n, title in titles()]
    write_records(Path("goodreads_books_poetry.json.gz"), books)
    write_records(Path("goodreads_book_authors.json.gz"), [{"author_id": "1", "name": "Ada Author"}])
    interactions = []
    for user, item, stars, seconds in ratings():
        added = datetime.fromtimestamp(seconds, tz=nightly_log.START.tzinfo).strftime("%a %b %d %H:%M:%S +0000 %Y")
        row = {"user_id": f"u{user}", "book_id": str(item), "rating": stars, "is_read": True}
        interactions.append(row | {"date_added": added, "date_updated": added})
    write_records(Path("goodreads_interactions_poetry.json.gz"), interactions)
    Path("goodbooks-10k").mkdir()
    header = "book_id,title,original_title,authors,original_publication_year,language_code"
    write_lines(Path("goodbooks-10k/books.csv"), [header, *(f"{n},{title},,Ada,1999.0,eng" for n, title in titles())])
    rows = [f"{user},{item},{stars}" for user, item, stars, _ in ratings()]
    write_lines(Path("goodbooks-10k/ratings.csv"), ["user_id,book_id,rating", *rows])


@pytest.mark.parametrize(
    ("section", "write"), [("MovieLens", write_movielens), ("Amazon", write_amazon), ("Goodreads", write_goodreads)]
)
def test_ratings_from_their_files_to_a_report(section: str, write: object) -> None:
    assert callable(write)
    write()
    told = []
    for words in commands(section):
        outcome = run(words)
        told += re.findall(r"^ {2}(recmem train .*)$", outcome.out, re.MULTILINE)
        if words[1] == "train":
            # A receipt named this command, but for the name of its folder.
            assert any(line.split(" --out ")[0] == shlex.join(words).split(" --out ")[0] for line in told)
            assert (Path(words[-1]) / "report.html").is_file()
            assert "'rating'" in outcome.err + outcome.out
    n_imports = sum(words[1] == "import" for words in commands(section))
    assert len(told) == n_imports
    assert all(
        pl.read_parquet(path)["event"].unique().to_list() == ["rating"] for path in Path().glob("*/events.parquet")
    )


def test_a_refusal_is_a_message_and_exit_code_1(folder: Path) -> None:
    write_mind()
    refused = Outcome(
        "import", "mind", "--news", "MIND_dev/behaviors.tsv", "--behaviors", "MIND_dev/behaviors.tsv", "--out", "mind"
    )
    assert refused.code == 1
    assert "news: expected MIND's news.tsv" in refused.err.replace("\n", " ")
    assert not (folder / "mind").exists()


def test_the_page_is_short() -> None:
    assert len(PAGE.read_text().splitlines()) <= LONGEST_PAGE
