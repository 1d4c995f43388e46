import subprocess
import sys

import polars as pl
import pytest

from recmem.text.item_text import item_text, text_columns


def test_title_and_description_stand_plain_and_the_others_with_their_name() -> None:
    frame = pl.DataFrame(
        {
            "item_id": ["a"],
            "category": ["Shredders"],
            "description": ["Cuts paper."],
            "brand_name": ["HP"],
            "title": ["Shredder"],
        }
    )
    assert item_text(frame).to_list() == ["Shredder. Cuts paper. category: Shredders. brand name: HP"]


def test_empty_null_and_blank_parts_are_left_out() -> None:
    frame = pl.DataFrame(
        {"title": ["Ink", None, " ", None], "description": ["", "Black", "\n\t", None], "brand": [None, "", "HP", None]}
    )
    assert item_text(frame).to_list() == ["Ink", "Black", "brand: HP", ""]


def test_a_column_named_like_a_pattern_is_read_alone() -> None:
    frame = pl.DataFrame({"title": ["Ink"], "*": ["star"], "^.*$": ["all"]})
    assert item_text(frame).to_list() == ["Ink. *: star. ^.*$: all"]


def test_white_space_is_collapsed_and_full_stops_are_not_doubled() -> None:
    frame = pl.DataFrame({"title": ["  Two\n\nlines ... "], "description": ["墨盒。"], "brand": ["Who? "]})
    assert item_text(frame).to_list() == ["Two lines. 墨盒. brand: Who?"]


def test_a_row_has_the_same_text_alone_and_among_others() -> None:
    frame = pl.DataFrame({"title": ["A", "B", None], "description": [None, "b", "c"], "brand": ["x", None, "🦊"]})
    columns = text_columns(frame)
    alone = [item_text(frame[row], columns).item() for row in range(frame.height)]
    assert alone == item_text(frame, columns).to_list() == ["A. brand: x", "B. b", "c. brand: 🦊"]


def test_given_columns_decide_the_text_and_its_order() -> None:
    frame = pl.DataFrame({"title": ["A"], "brand": ["x"], "year": [1999]})
    assert item_text(frame, ["year", "title"]).to_list() == ["year: 1999. A"]


def test_an_item_without_text_columns_has_the_empty_text() -> None:
    assert item_text(pl.DataFrame({"item_id": ["a", "b"], "price": [1.0, 2.0]})).to_list() == ["", ""]


def test_the_text_series_is_named_text_and_has_no_nulls_for_an_empty_frame() -> None:
    series = item_text(pl.DataFrame(schema={"title": pl.String, "brand": pl.String}))
    assert (series.name, series.dtype, series.len()) == ("text", pl.String, 0)


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"columns: expected columns of the frame \(title\), got brand\. Give items"):
        item_text(pl.DataFrame({"title": ["A"]}), ["title", "brand"])


def test_title_and_description_come_first_then_the_order_of_the_frame() -> None:
    frame = pl.DataFrame({"tags": ["t"], "description": ["d"], "actors": ["a"], "title": ["T"]})
    assert text_columns(frame) == ["title", "description", "tags", "actors"]


def test_categories_count_as_text_and_numbers_do_not() -> None:
    frame = pl.DataFrame(
        {"item_id": ["1"], "genre": ["jazz"], "price": [1.0], "mood": ["calm"]},
        schema_overrides={"genre": pl.Categorical, "mood": pl.Enum(["calm"])},
    )
    assert text_columns(frame) == ["genre", "mood"]
    assert item_text(frame).to_list() == ["genre: jazz. mood: calm"]


@pytest.mark.parametrize(
    "values",
    [
        ["12", "3.50", "1,200"],
        ["2018-01-31", "1996-02-16T10:30:00Z", "31/01/2018"],
        ["2018/01/31", "1996/2/16 10:30", "20180131T103000Z"],
        ["https://example.org/a", "www.example.org", "HTTP://EXAMPLE.ORG/b?c=d"],
        [
            "4d2f1c9e-7a55-4a57-9f6b-0c5d9b1f2a3e",
            "0123456789abcdef0123456789abcdef",
            "4d2f1c9e7a554a579f6b0c5d9b1f2a3e",
        ],
        ["SKU-1234", "B0012345", "CB335WN"],
    ],
    ids=["numbers", "dates", "other dates", "addresses", "hashes", "codes"],
)
def test_columns_whose_values_say_nothing_in_words_are_left_out(values: list[str]) -> None:
    assert text_columns(pl.DataFrame({"title": ["a", "b", "c"], "extra": values})) == ["title"]


def test_columns_of_ids_are_left_out_by_their_name() -> None:
    frame = pl.DataFrame({"item_id": ["a"], "id": ["b"], "seller_id": ["c"], "kidney": ["d"]})
    assert text_columns(frame) == ["kidney"]


@pytest.mark.parametrize("values", [["HP", "3M", "7-Zip"], ["eng", "en-US", "ger"], ["facade", "decade", "beef"]])
def test_short_words_are_words(values: list[str]) -> None:
    assert text_columns(pl.DataFrame({"extra": values})) == ["extra"]


def test_a_title_that_looks_like_a_code_is_a_title() -> None:
    assert text_columns(pl.DataFrame({"title": ["1984", "2001"]})) == ["title"]


def test_one_sentence_in_five_values_keeps_a_column() -> None:
    values = ["2018", "2019", "2020", "2021", "the year of the flood"]
    assert text_columns(pl.DataFrame({"extra": values})) == ["extra"]
    assert text_columns(pl.DataFrame({"extra": [*(["2018"] * 19), "once"]})) == []


def test_a_column_that_has_become_numbers_reads_as_it_did_when_it_was_text() -> None:
    frame = pl.DataFrame({"title": ["Emma", "Dune"], "price": [2.0, 1.5]})
    assert item_text(frame, ["title", "price"]).to_list() == ["Emma. price: 2", "Dune. price: 1.5"]


def test_texts_can_be_imported_without_polars() -> None:
    code = (
        "import sys; sys.modules['polars'] = None; from recmem.text import item_text; print(item_text.TEMPLATE_VERSION)"
    )
    assert int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout) >= 1
