from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_store import DataError
from feature_store.importers.amazon import import_amazon, plain_text, price_of
from published_files import truncate, write_lines, write_records

REVIEWS_2018 = [
    {
        "overall": stars,
        "verified": True,
        "reviewTime": "03 7, 2016",
        "reviewerID": user,
        "asin": asin,
        "reviewerName": "A. Reader",
        "reviewText": "Made up for a test.",
        "summary": "Made up",
        "unixReviewTime": 1457308800,
    }
    for user, asin, stars in (("A1", "B01", 5.0), ("A1", "B02", 1.0), ("A2", "B01", 3.0), ("A2", "B09", 4.0))
]
META_2018 = [
    {
        "category": ["Office Products", "Pens &amp; Pencils"],
        "description": ["<p>A pen that <b>writes</b>.</p>", ""],
        "title": "Pen, blue",
        "brand": "Penwright",
        "feature": ["Writes", "Is blue"],
        "rank": "1,234 in Office Products (",
        "also_buy": ["B02"],
        "price": "$1,004.39",
        "asin": "B01",
    },
    {"category": ["Office Products"], "title": "var a = getTime();", "price": ".a-box{color:#333}", "asin": "B02"},
    {"category": ["Office Products"], "title": "Not reviewed", "asin": "B03"},
    {"category": ["Office Products"], "title": "Pen, once more", "asin": "B01"},
]
META_2014 = [
    "{'asin': 'B01', 'title': \"The artist's pen\", 'price': 4.5, 'salesRank': {'Office Products': 12}, "
    "'categories': [['Office Products', 'Pens'], ['Office Products', 'Gifts']], 'brand': 'Penwright'}",
    "{'asin': 'B02', 'imUrl': 'https://example/b02.jpg', 'description': 'Ink, \\xe9clat.'}",
]
REVIEWS_2023 = [
    {
        "rating": 5.0,
        "title": "Made up",
        "text": "Made up for a test.",
        "images": [],
        "asin": "B01-blue",
        "parent_asin": "B01",
        "user_id": "AE1",
        "timestamp": 1588687728923,
        "helpful_vote": 0,
        "verified_purchase": True,
    }
]
META_2023 = [
    {
        "main_category": "Office Products",
        "title": "Pen",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": ["Writes"],
        "description": ["A pen."],
        "price": 2.5,
        "images": [],
        "store": "Penwright",
        "categories": [],
        "details": {"Color": "blue"},
        "parent_asin": "B01",
    }
]


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    return pl.read_parquet(folder / f"{name}.parquet").to_dicts()


def test_the_form_of_2018(tmp_path: Path) -> None:
    reviews = write_records(tmp_path / "Office_Products_5.json.gz", REVIEWS_2018)
    metadata = write_records(tmp_path / "meta_Office_Products.json.gz", META_2018)
    receipt = import_amazon(reviews, metadata, tmp_path / "out")
    assert read(tmp_path / "out", "items") == [
        {
            "item_id": "B01",
            "title": "Pen, blue",
            "brand": "Penwright",
            "categories": "Office Products, Pens & Pencils",
            "features": "Writes, Is blue",
            "description": "A pen that writes .",
            "price": 1004.39,
        },
        {
            "item_id": "B02",
            "title": "",
            "brand": "",
            "categories": "Office Products",
            "features": "",
            "description": "",
            "price": None,
        },
    ]
    events = pl.read_parquet(tmp_path / "out" / "events.parquet")
    assert events.select("user_id", "item_id", "event", "value").rows() == [
        ("A1", "B01", "rating", 5.0),
        ("A1", "B02", "rating", 1.0),
        ("A2", "B01", "rating", 3.0),
        ("A2", "B09", "rating", 4.0),
    ]
    assert events["timestamp"].unique().to_list() == [datetime(2016, 3, 7, tzinfo=UTC)]
    assert receipt.files[1].left_out == {
        "product without a review (--all-items keeps it)": 1,
        "product given before, which is kept": 1,
    }
    assert receipt.notes == ("1 of 3 reviewed products are not in meta_Office_Products.json.gz.",)


def test_python_literals_of_2014(tmp_path: Path) -> None:
    reviews = write_records(tmp_path / "reviews_5.json.gz", REVIEWS_2018[:2])
    metadata = write_lines(tmp_path / "meta.json.gz", META_2014)
    import_amazon(reviews, metadata, tmp_path / "out")
    first, second = read(tmp_path / "out", "items")
    assert (first["title"], first["price"]) == ("The artist's pen", 4.5)
    assert first["categories"] == "Office Products, Pens, Gifts"
    assert (second["title"], second["description"]) == ("", "Ink, éclat.")


def test_the_form_of_2023_is_read_by_parent_asin_and_milliseconds(tmp_path: Path) -> None:
    reviews = write_records(tmp_path / "Office_Products.jsonl.gz", REVIEWS_2023)
    metadata = write_records(tmp_path / "meta_Office_Products.jsonl.gz", META_2023)
    import_amazon(reviews, metadata, tmp_path / "out")
    (event,) = read(tmp_path / "out", "events")
    assert event == {
        "user_id": "AE1",
        "item_id": "B01",
        "timestamp": datetime(2020, 5, 5, 14, 8, 48, 923000, tzinfo=UTC),
        "event": "rating",
        "value": 5.0,
    }
    (item,) = read(tmp_path / "out", "items")
    assert (item["brand"], item["categories"], item["price"]) == ("Penwright", "Office Products", 2.5)
    # What later customers made is not among the columns.
    assert not {"average_rating", "rating_number"} & set(item)


def test_all_items_keeps_products_without_a_review(tmp_path: Path) -> None:
    reviews = write_records(tmp_path / "reviews.json", REVIEWS_2018)
    metadata = write_records(tmp_path / "meta.json", META_2018)
    import_amazon(reviews, metadata, tmp_path / "out", all_items=True)
    assert [row["item_id"] for row in read(tmp_path / "out", "items")] == ["B01", "B02", "B03"]


def test_reviews_that_cannot_be_read_are_left_out_by_reason(tmp_path: Path) -> None:
    good = REVIEWS_2018[0]
    bad = [
        good | {"overall": "five"},
        good | {"unixReviewTime": None},
        good | {"unixReviewTime": "today"},
        good | {"unixReviewTime": 1e300},
        good | {"overall": float("nan")},
        {"asin": "B"},
    ]
    reviews = write_records(tmp_path / "reviews.json", [*REVIEWS_2018, *bad])
    metadata = write_records(tmp_path / "meta.json", META_2018)
    receipt = import_amazon(reviews, metadata, tmp_path / "out")
    assert str(receipt.files[0]).splitlines() == [
        "reviews.json: 10 rows read, 4 used",
        "  2 x overall: expected a number, got something else (e.g. 'five' in line 5)",
        "  1 x unixReviewTime: expected a value, got none (e.g. in line 6)",
        "  2 x unixReviewTime: expected an epoch number, got something else (e.g. 'today' in line 7)",
        "  1 x reviewerID: expected a value, got none (e.g. in line 10)",
    ]


@pytest.mark.parametrize(
    ("reviews", "metadata", "message"),
    [
        (META_2018, META_2018, r"reviews: expected Amazon reviews .*got a first record without reviewerID, overall"),
        (REVIEWS_2018, REVIEWS_2018, r"metadata: expected Amazon metadata .*got what looks like reviews"),
        (REVIEWS_2018, [{"title": "Pen"}], r"metadata: expected .*got a first record without asin, with title"),
        ([{**REVIEWS_2023[0], "rating": 5.0} | {"timestamp": 1}], META_2018, None),
        ([{"user_id": "A", "parent_asin": "B01", "rating": 5}], META_2023, "got a first record without timestamp"),
        (REVIEWS_2018, [{"asin": "B77", "title": "Pen"}], "got metadata of none of the 3 reviewed products"),
    ],
)
def test_files_of_another_form_are_refused(
    reviews: list[dict[str, object]], metadata: list[dict[str, object]], message: str | None, tmp_path: Path
) -> None:
    paths = write_records(tmp_path / "reviews.json", reviews), write_records(tmp_path / "meta.json", metadata)
    if message is None:
        # Reviews of 2023 and metadata of 2018 of one category share ids.
        assert import_amazon(*paths, tmp_path / "out").tables[tmp_path / "out" / "items.parquet"] == 1
        return
    with pytest.raises(DataError, match=message):
        import_amazon(*paths, tmp_path / "out")


def test_csv_and_a_truncated_file_are_refused(tmp_path: Path) -> None:
    metadata = write_records(tmp_path / "meta.json", META_2018)
    ratings = write_lines(tmp_path / "ratings.csv", ["A1,B01,5.0,1457308800"])
    with pytest.raises(DataError, match="got a first line that is no JSON object: 'A1,B01"):
        import_amazon(ratings, metadata, tmp_path / "out")
    reviews = truncate(
        write_records(tmp_path / "r.json.gz", [REVIEWS_2018[0] | {"reviewerID": f"A{n * n}"} for n in range(5000)])
    )
    with pytest.raises(DataError, match="truncated or damaged after line"):
        import_amazon(reviews, metadata, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_texts_lose_markup_entities_and_repetitions() -> None:
    assert plain_text("A &lt;b&gt; <br/>C &amp; D\n\n E") == "A C & D E"
    assert plain_text(["a", "a", None, ["b", 3]]) == "a, b"
    assert plain_text(None) == ""


@pytest.mark.parametrize(
    ("value", "price"),
    [
        (3, 3.0),
        ("$4.39", 4.39),
        ("1,204", 1204.0),
        ("$3.00 - $9.00", None),
        ("from 14.99", None),
        (True, None),
        ("", None),
    ],
)
def test_a_price_is_a_number_or_none(value: object, price: float | None) -> None:
    assert price_of(value) == price
