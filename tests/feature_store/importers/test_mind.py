from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_store import DataError
from feature_store.importers.import_receipt import ImportReceipt
from feature_store.importers.mind import import_mind
from published_files import BEHAVIORS, NEWS, UNLABELLED, truncate, write_lines, write_mind


def imported(tmp_path: Path, **files: list[str]) -> tuple[ImportReceipt, dict[str, pl.DataFrame]]:
    news, behaviors = write_mind(tmp_path / "mind", **files)
    receipt = import_mind([news], [behaviors], tmp_path / "out")
    return receipt, {path.stem: pl.read_parquet(path) for path in receipt.tables}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_news_become_items_with_their_quotes(tmp_path: Path) -> None:
    _, tables = imported(tmp_path)
    items = tables["items"]
    assert items["title"].to_list()[:3] == [
        'Keeper says "no comment',
        '"Soup", and more soup',
        'Rain in Örebro, "again"',
    ]
    assert items.row(1, named=True) == {
        "item_id": "N2",
        "title": '"Soup", and more soup',
        "abstract": "",
        "category": "food",
        "subcategory": "recipes",
    }


def test_impressions_have_a_row_for_each_news_with_the_us_time_in_utc(tmp_path: Path) -> None:
    _, tables = imported(tmp_path)
    rows = tables["impressions"].rows()
    assert rows == [
        ("1", "U7", at("2019-11-11T09:05:58"), "N4", 1),
        ("1", "U7", at("2019-11-11T09:05:58"), "N5", 0),
        ("2", "U8", at("2019-11-11T00:30:00"), "N4", 0),
        ("2", "U8", at("2019-11-11T00:30:00"), "N5", 1),
        ("2", "U8", at("2019-11-11T00:30:00"), "N1", 1),
        ("3", "U7", at("2019-11-11T13:00:00"), "N5", 0),
        ("3", "U7", at("2019-11-11T13:00:00"), "N3", 1),
    ]


def test_clicks_and_each_history_once_become_events(tmp_path: Path) -> None:
    receipt, tables = imported(tmp_path)
    events = tables["events"]
    clicks = events.filter(pl.col("available_at").is_null()).select("user_id", "item_id").rows()
    assert clicks == [("U7", "N4"), ("U8", "N5"), ("U8", "N1"), ("U7", "N3")]
    history = events.filter(pl.col("available_at").is_not_null())
    assert history.select("user_id", "item_id").rows() == [("U7", "N1"), ("U7", "N3"), ("U7", "N2")]
    assert events["event"].unique().to_list() == ["click"]
    assert "events: 4 clicks of impressions, 3 of histories." in receipt.notes


def test_the_receipt_counts_and_gives_the_training_that_follows(tmp_path: Path) -> None:
    receipt, _ = imported(tmp_path)
    out = tmp_path / "out"
    assert [str(file) for file in receipt.files] == [
        "news.tsv: 5 rows read, 5 used",
        "behaviors.tsv: 3 rows read, 3 used",
    ]
    assert receipt.tables == {out / "items.parquet": 5, out / "events.parquet": 7, out / "impressions.parquet": 7}
    assert receipt.commands == (
        f"recmem train --items {out}/items.parquet --events {out}/events.parquet "
        f"--impressions {out}/impressions.parquet --out run",
    )


def test_impressions_without_labels_become_candidates_to_score(tmp_path: Path) -> None:
    receipt, tables = imported(tmp_path, behaviors=UNLABELLED)
    assert set(tables) == {"items", "events", "candidates"}
    assert tables["candidates"].select("impression_id", "user_id", "item_id").rows() == [
        ("1", "U7", "N5"),
        ("1", "U7", "N2"),
        ("1", "U7", "N4"),
        ("2", "U9", "N1"),
        ("2", "U9", "N3"),
    ]
    commands = [command.split(" --")[0] for command in receipt.commands]
    assert commands == ["recmem ingest", "recmem score", "recmem export mind-prediction"]


def test_several_splits_are_one_log_and_news_given_twice_count_once(tmp_path: Path) -> None:
    train = write_mind(tmp_path / "train")
    test = write_mind(tmp_path / "test", news=NEWS[1:3], behaviors=UNLABELLED)
    receipt = import_mind([train[0], test[0]], [train[1], test[1]], tmp_path / "out")
    assert str(receipt.files[1]).splitlines() == [
        f"{test[0]}: 2 rows read, 0 used",
        "  2 x news given before, which is kept",
    ]
    events = pl.read_parquet(tmp_path / "out" / "events.parquet")
    # Of the later history N1, N3 and N2 stood in the first, and N4 was clicked in its impression.
    assert events.filter(user_id="U7")["item_id"].sort().to_list() == ["N1", "N2", "N3", "N3", "N4"]
    assert events.filter(pl.col("timestamp") > at("2019-11-15T00:00:00")).is_empty()


def test_rows_that_cannot_be_read_are_left_out_by_reason(tmp_path: Path) -> None:
    bad = [
        "4\tU7\t15/11/2019 9:05:58 AM\tN1\tN4-1",
        "5\tU7\t11/11/2019 9:05:58 AM\tN1\tN4-1 N5",
        "6\tU7\t11/11/2019 9:05:58 AM\tN1\tN4-2",
        "7\tU7\t11/11/2019 9:05:58 AM\tN1\t",
        "8\t\t11/11/2019 9:05:58 AM\tN1\tN4-1",
        "9\tU7\t11/11/2019 9:05:58 AM\tN4-1",
    ]
    receipt, tables = imported(tmp_path, behaviors=[*BEHAVIORS, *bad])
    assert str(receipt.files[1]).splitlines() == [
        "behaviors.tsv: 9 rows read, 3 used",
        "  1 x row: expected 5 fields, got another number (e.g. in line 9)",
        "  1 x impression or user id: expected an id, got none (e.g. in line 8)",
        "  1 x time: expected a time such as 11/15/2019 8:55:22 AM, got other text (e.g. '15/11/2019 9:05:58 AM' in "
        "line 4)",
        "  3 x news shown: expected N1-0 N2-1, or N1 N2 of the test split, got other text (e.g. 'N4-1 N5' in line 5)",
    ]
    assert tables["impressions"]["impression_id"].unique().sort().to_list() == ["1", "2", "3"]


def test_news_that_an_impression_shows_twice_are_one_row(tmp_path: Path) -> None:
    _, tables = imported(tmp_path, behaviors=["1\tU7\t11/11/2019 9:05:58 AM\tN1\tN4-0 N5-0 N4-1"])
    assert tables["impressions"].select("item_id", "label").rows() == [("N4", 1), ("N5", 0)]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    _, plain = imported(tmp_path)
    news = write_lines(tmp_path / "marked_news.tsv", NEWS, end="\r\n", mark=True)
    behaviors = write_lines(tmp_path / "marked_behaviors.tsv", BEHAVIORS, end="\r\n", mark=True)
    receipt = import_mind([news], [behaviors], tmp_path / "marked")
    for path in receipt.tables:
        assert pl.read_parquet(path).equals(plain[path.stem])


@pytest.mark.parametrize(
    ("news", "behaviors", "message"),
    [
        (
            BEHAVIORS,
            BEHAVIORS,
            r"news: expected MIND's news.tsv .* first line of 5 columns \(it looks like behaviors.tsv\)",
        ),
        (NEWS, NEWS, r"behaviors: expected MIND's behaviors.tsv .* 8 columns \(it looks like news.tsv\)"),
        ([row.rsplit("\t", 1)[0] for row in NEWS], BEHAVIORS, "news: expected .* got a first line of 7 columns"),
        (NEWS, ["a\tb\t2019-11-11\td\te"], "whose third column is no time such as 11/15/2019 8:55:22 AM"),
        (["N9\ta\tb\tc\td\te\tf\tg"], BEHAVIORS, "got impressions that show none of the news"),
        (NEWS, ["1\tU7\t11/11/2019 9:05:58 AM\t\tN4-0 N5-0"], "got neither clicks nor histories"),
    ],
)
def test_files_of_another_form_are_refused_and_leave_nothing(
    news: list[str], behaviors: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        imported(tmp_path, news=news, behaviors=behaviors)
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_truncated_file_leaves_nothing(tmp_path: Path) -> None:
    news, _ = write_mind(tmp_path / "mind")
    rows = [f"{n}\tU{n * n % 97}\t11/11/2019 9:05:58 AM\tN1\tN4-1 N5-0" for n in range(40_000)]
    behaviors = truncate(write_lines(tmp_path / "behaviors.tsv.gz", rows))
    with pytest.raises(DataError, match=r"behaviors: expected MIND's behaviors.tsv .* truncated or damaged"):
        import_mind([news], [behaviors], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_many_blocks_give_what_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = imported(tmp_path)
    monkeypatch.setattr("feature_store.importers.mind._ROWS_A_BLOCK", 1)
    receipt = import_mind([tmp_path / "mind/news.tsv"], [tmp_path / "mind/behaviors.tsv"], tmp_path / "by_row")
    for path in receipt.tables:
        assert pl.read_parquet(path).equals(whole[path.stem])
