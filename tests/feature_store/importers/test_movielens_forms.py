from __future__ import annotations

from pathlib import Path

import pytest

from feature_store.importers.import_receipt import FileCount
from feature_store.importers.movielens_forms import fields_of, movie_of, movielens_file, user_of
from feature_store.importers.published_file import no_progress
from published_files import write_lines


@pytest.mark.parametrize(
    ("role", "lines", "fields"),
    [
        ("movies", ["movieId,title,genres", "1,A,Drama"], ["1", "A", "Drama"]),
        ("movies", ["1::A::Drama"], ["1", "A", "Drama"]),
        ("ratings", ["timestamp,rating,movieId,userId", "978300760,4,1,7"], ["7", "1", "4", "978300760"]),
        ("ratings", ["7::1::4.5::978300760"], ["7", "1", "4.5", "978300760"]),
        ("ratings", ["7\t1\t4\t978300760"], ["7", "1", "4", "978300760"]),
        ("tags", ["7::1::slow::978300760"], ["7", "1", "slow", "978300760"]),
        ("users", ["7::F::25::12::01234"], ["7", "F", "25", "12", "01234"]),
        ("users", ["7|25|F|artist|01234"], ["7", "25", "F", "artist", "01234"]),
    ],
)
def test_the_form_of_a_file_is_told_by_its_first_line(
    role: str, lines: list[str], fields: list[str], tmp_path: Path
) -> None:
    file = movielens_file(write_lines(tmp_path / "any name", lines), role)
    assert [row for _, row in fields_of(file, role, FileCount("any name"), no_progress)] == [fields]


def test_a_movie_has_its_year_from_the_end_of_its_title() -> None:
    assert movie_of(["1", "2001 (a film) (1968)", "Sci-Fi"]).year == 1968
    assert movie_of(["1", "(1999) before the title", "Sci-Fi"]).year is None


def test_users_of_both_forms_are_read_without_their_zip_codes() -> None:
    assert user_of(["7", "F", "25", "0", "01234"]) == ("7", "F", 25, "other")
    assert user_of(["7", "25", "F", "writer", "01234"]) == ("7", "F", 25, "writer")
    assert user_of(["7", "F", "25", "99", "01234"]) == ("7", "F", 25, "99")
    for age in ("young", "9" * 30):
        assert user_of(["7", "F", age, "0", "01234"]) is None
