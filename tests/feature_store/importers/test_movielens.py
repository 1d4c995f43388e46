from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_store import DataError
from feature_store.importers.movielens import import_movielens, time_of_share
from published_files import truncate, write_lines

MOVIES_CSV = [
    "movieId,title,genres",
    '1,"Night Train, The (1951)",Drama|Mystery',
    "2,Amélie's Garden (2001),(no genres listed)",
    '3,"A ""Quoted"" Film",Comedy',
]
RATINGS_CSV = ["userId,movieId,rating,timestamp", "7,1,4.5,978300760", "7,2,0.5,978387160", "8,3,3.0,978473560"]
TAGS_CSV = [
    "userId,movieId,tag,timestamp",
    "7,1,slow burn,978300761",
    "8,1,Trains,978300762",
    "9,1,trains,978300763",
    "8,1,trains,978300764",
    "9,3,too late,978473561",
]
EXPECTED_EVENTS = [
    ("7", "1", datetime(2000, 12, 31, 22, 12, 40, tzinfo=UTC), "rating", 4.5),
    ("7", "2", datetime(2001, 1, 1, 22, 12, 40, tzinfo=UTC), "rating", 0.5),
    ("8", "3", datetime(2001, 1, 2, 22, 12, 40, tzinfo=UTC), "rating", 3.0),
]


def table(out: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(out / f"{name}.parquet")


def write_csv(folder: Path, *, mark: bool = False, end: str = "\n") -> tuple[Path, Path]:
    movies = write_lines(folder / "movies.csv", MOVIES_CSV, mark=mark, end=end)
    return movies, write_lines(folder / "ratings.csv", RATINGS_CSV, mark=mark, end=end)


@pytest.mark.parametrize(("mark", "end"), [(False, "\n"), (True, "\r\n")])
def test_csv_of_the_latest_data_sets(mark: bool, end: str, tmp_path: Path) -> None:
    movies, ratings = write_csv(tmp_path, mark=mark, end=end)
    receipt = import_movielens(movies, ratings, tmp_path / "out")
    assert table(tmp_path / "out", "items").rows() == [
        ("1", "Night Train, The (1951)", "Drama, Mystery", "", 1951),
        ("2", "Amélie's Garden (2001)", "", "", 2001),
        ("3", 'A "Quoted" Film', "Comedy", "", None),
    ]
    assert table(tmp_path / "out", "events").rows() == EXPECTED_EVENTS
    out = tmp_path / "out"
    assert receipt.commands == (f"recmem train --items {out}/items.parquet --events {out}/events.parquet --out run",)
    assert str(receipt.files[1]) == "ratings.csv: 3 rows read, 3 used"


def test_double_colons_and_latin_1_of_the_1m_data_set(tmp_path: Path) -> None:
    rows = ["1::Night Train, The (1951)::Drama|Mystery", "2::Café: a Film (1999)::Comedy"]
    movies = write_lines(tmp_path / "movies.dat", rows, encoding="latin-1")
    ratings = write_lines(tmp_path / "ratings.dat", ["7::1::5::978300760", "7::2::1::978300761"])
    users = write_lines(tmp_path / "users.dat", ["7::F::25::12::01234", "8::M::x::0::99999"])
    receipt = import_movielens(movies, ratings, tmp_path / "out", users=users)
    assert table(tmp_path / "out", "items")["title"].to_list() == ["Night Train, The (1951)", "Café: a Film (1999)"]
    assert table(tmp_path / "out", "events")["value"].to_list() == [5.0, 1.0]
    assert table(tmp_path / "out", "users").rows() == [("7", "F", 25, "programmer")]
    assert receipt.files[2].left_out == {"age: expected a whole number, got other text": 1}
    assert receipt.commands[0].endswith(f"--users {tmp_path / 'out'}/users.parquet --out run")


def test_tabs_pipes_and_flags_of_the_100k_data_set(tmp_path: Path) -> None:
    flags = ["0"] * 19
    flags[5] = flags[16] = "1"
    one = "|".join(["1", "Garçon Film (1995)", "01-Jan-1995", "", "https://example/1", *flags])
    two = "|".join(["2", "unknown", "", "", "", "1", *["0"] * 18])
    movies = write_lines(tmp_path / "u.item", [one, two], encoding="latin-1")
    ratings = write_lines(tmp_path / "u.data", ["7\t1\t3\t881250949", "8\t2\t4\t881250950"])
    users = write_lines(tmp_path / "u.user", ["7|24|M|technician|85711", "8|53|F|other|94043"])
    import_movielens(movies, ratings, tmp_path / "out", users=users)
    assert table(tmp_path / "out", "items").rows() == [
        ("1", "Garçon Film (1995)", "Comedy, Thriller", "", 1995),
        ("2", "unknown", "", "", None),
    ]
    assert table(tmp_path / "out", "events").select("user_id", "item_id", "value").rows() == [
        ("7", "1", 3.0),
        ("8", "2", 4.0),
    ]
    assert table(tmp_path / "out", "users").rows() == [("7", "M", 24, "technician"), ("8", "F", 53, "other")]


def test_tags_are_those_of_the_first_part_of_the_log_by_the_number_of_their_users(tmp_path: Path) -> None:
    movies, ratings = write_csv(tmp_path)
    tags = write_lines(tmp_path / "tags.csv", TAGS_CSV)
    receipt = import_movielens(movies, ratings, tmp_path / "out", tags=tags)
    assert table(tmp_path / "out", "items")["tags"].to_list() == ["trains, slow burn", "", ""]
    assert receipt.files[2].left_out == {"tag given on 2001-01-02 or later": 1}
    assert receipt.notes == ("tags: those given before 2001-01-02, by when 70% of the ratings happened.",)


def test_the_day_of_a_share_begins_before_the_rest_of_it() -> None:
    days = Counter({10: 6, 11: 1, 12: 3})
    assert time_of_share(days, 0.7) == datetime(1970, 1, 12, tzinfo=UTC)
    assert time_of_share(days, 0.71) == datetime(1970, 1, 13, tzinfo=UTC)
    with pytest.raises(ValueError, match="days: expected at least one row"):
        time_of_share(Counter(), 0.7)


def test_ratings_that_cannot_be_read_are_left_out_by_reason(tmp_path: Path) -> None:
    movies = write_lines(tmp_path / "movies.csv", MOVIES_CSV)
    bad = ["7,1,four,978300760", "7,1,4.0,yesterday", ",1,4.0,978300760", "7,1,4.0"]
    ratings = write_lines(tmp_path / "ratings.csv", [*RATINGS_CSV, *bad])
    receipt = import_movielens(movies, ratings, tmp_path / "out")
    assert str(receipt.files[1]).splitlines() == [
        "ratings.csv: 7 rows read, 3 used",
        "  1 x rating: expected a number, got other text (e.g. 'four' in line 5)",
        "  1 x timestamp: expected epoch seconds, got other text (e.g. 'yesterday' in line 6)",
        "  1 x user or movie: expected an id, got none (e.g. in line 7)",
        "  1 x row: expected 4 fields, got another number (e.g. in line 8)",
    ]
    assert table(tmp_path / "out", "events").height == 3


@pytest.mark.parametrize(
    ("movies", "ratings", "message"),
    [
        (RATINGS_CSV, RATINGS_CSV, r"movies: expected movies.csv .*got a header without title, genres"),
        (MOVIES_CSV, MOVIES_CSV, r"ratings: expected ratings.csv .*got a header without userId, rating, timestamp"),
        (["movieId,title", "1,x"], RATINGS_CSV, r"movies: .*got a header without genres: 'movieId,title'"),
        (["1::F::25::12::01234"], RATINGS_CSV, r"movies: expected .*, got a first line of another form"),
        (MOVIES_CSV, ["7::1::slow burn::978300760"], r"ratings: expected .*, got a first line of another form"),
        (['{"movieId": 1}'], RATINGS_CSV, r"movies: expected .*, got a first line of another form"),
        (MOVIES_CSV, [RATINGS_CSV[0], "7,9,4.0,978300760"], "got ratings of none of the movies"),
        (MOVIES_CSV, [RATINGS_CSV[0], "7,1,4.0,soon"], "got no row that can be read"),
    ],
)
def test_files_of_another_form_are_refused(movies: list[str], ratings: list[str], message: str, tmp_path: Path) -> None:
    paths = write_lines(tmp_path / "movies", movies), write_lines(tmp_path / "ratings", ratings)
    with pytest.raises(DataError, match=message):
        import_movielens(*paths, tmp_path / "out")


def test_a_truncated_file_leaves_nothing(tmp_path: Path) -> None:
    movies, _ = write_csv(tmp_path)
    rows = [RATINGS_CSV[0], *(f"{n * n},1,4.0,{978300760 + n * 7}" for n in range(5000))]
    ratings = truncate(write_lines(tmp_path / "ratings.csv.gz", rows))
    with pytest.raises(DataError, match=r"ratings: expected .*truncated or damaged after line"):
        import_movielens(movies, ratings, tmp_path / "out")
    assert not (tmp_path / "out").exists()
