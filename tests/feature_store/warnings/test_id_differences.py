"""How two tables write the same ids: each cause by name, with a pair; and silence where ids are truly others."""

from __future__ import annotations

import random
import unicodedata
import uuid

import polars as pl
import pytest

from feature_store.warnings.id_differences import likely_difference

NUMBERS = range(1, 31)
UUIDS = [str(uuid.UUID(int=random.Random(n).getrandbits(128))) for n in NUMBERS]


def difference(unmatched: list[str], known: list[str]) -> tuple[str, str, str]:
    """The cause, and the first pair."""
    found = likely_difference(pl.Series(unmatched), pl.Series(known))
    example = found.examples[0] if found.examples else ""
    known_example = found.known_examples[0] if found.known_examples else ""
    return found.cause, example, known_example


@pytest.mark.parametrize(
    ("unmatched", "known", "cause"),
    [
        ([str(n) for n in NUMBERS], [f"{n:010d}" for n in NUMBERS], "leading zeros"),
        ([f"{n:010d}" for n in NUMBERS], [str(n) for n in NUMBERS], "leading zeros"),
        ([f"{n}.0" for n in NUMBERS], [str(n) for n in NUMBERS], "a trailing .0"),
        ([str(n) for n in NUMBERS], [f"{n}.00" for n in NUMBERS], "a trailing .0"),
        ([f"ab-{n}c" for n in NUMBERS], [f"AB-{n}C" for n in NUMBERS], "upper and lower case"),
        ([f"{n} " for n in NUMBERS], [str(n) for n in NUMBERS], "white space or invisible characters"),
        ([str(n) for n in NUMBERS], [f"\ufeff{n}\u00a0" for n in NUMBERS], "white space or invisible characters"),
        ([f'"{n}"' for n in NUMBERS], [str(n) for n in NUMBERS], "quotation marks"),
        ([f"b'{n}'" for n in NUMBERS], [str(n) for n in NUMBERS], "quotation marks"),
        ([x.replace("-", "") for x in UUIDS], UUIDS, "dashes, braces or other punctuation"),
        ([f"{{{x}}}" for x in UUIDS], UUIDS, "dashes, braces or other punctuation"),
        ([f"{n * 10**6:,}" for n in NUMBERS], [str(n * 10**6) for n in NUMBERS], "the way that numbers are written"),
        (
            [f"{n * 10**11:.2e}" for n in NUMBERS],
            [str(n * 10**11) for n in NUMBERS],
            "the way that numbers are written",
        ),
        (["\uff11\uff12", "\uff13"], ["12", "3"], "Unicode normal form or width of characters"),
        (
            [unicodedata.normalize("NFD", f"Größe {n}") for n in NUMBERS],
            [f"Größe {n}" for n in NUMBERS],
            "Unicode normal form or width of characters",
        ),
        ([f"gone-i{n}" for n in NUMBERS], [f"i{n}" for n in NUMBERS], "the prefix 'gone-'"),
        ([str(n) for n in NUMBERS], [f"i{n}" for n in NUMBERS], "the prefix 'i', which the unmatched ids lack"),
        (
            [f"sku-{n}" for n in NUMBERS],
            [f"item_{n}" for n in NUMBERS],
            "the prefix 'sku-' where the known ids have 'item_'",
        ),
        ([f"{n}-de" for n in NUMBERS], [str(n) for n in NUMBERS], "the suffix '-de'"),
        ([f"urn:uuid:{x}" for x in UUIDS], UUIDS, "the prefix 'urn:uuid:'"),
        ([f"SKU-{n:05d}" for n in NUMBERS], [str(n) for n in NUMBERS], "the prefix 'sku-'"),
        (
            [f"AB{n} " for n in NUMBERS],
            [f"ab{n}" for n in NUMBERS],
            "white space or invisible characters and upper and lower case",
        ),
        ([x[:13] for x in UUIDS], UUIDS, "the unmatched ids are cut off after 13 characters"),
    ],
)
def test_cause_is_named_with_ids_that_mean_the_same(unmatched: list[str], known: list[str], cause: str) -> None:
    found, example, known_example = difference(unmatched, known)
    assert found == cause
    places = {text: place for place, text in enumerate(unmatched)}
    assert known_example == known[places[example]]


@pytest.mark.parametrize(
    ("unmatched", "known"),
    [
        ([f"i{n}" for n in range(30, 40)], [f"i{n}" for n in range(30)]),
        ([str(n) for n in range(300, 400)], [str(n) for n in range(300)]),
        ([f"{n:05d}" for n in range(300, 400)], [f"{n:05d}" for n in range(300)]),
        ([str(n) for n in range(30, 40)], [str(n) for n in range(10)]),
        (UUIDS[:10], UUIDS[10:]),
        (["pear"], ["apple", "plum"]),
        (["u2"], ["u1"]),
        (["shop-2"], ["shop-1", "shop-3"]),
        ([f"item_{n}" for n in range(1000, 1020)], [f"item_{n}" for n in range(100, 1000)]),
        ([str(n) for n in range(100_000, 100_500, 7)], [str(n) for n in range(10_000, 100_000, 9)]),
        ([f"p{n}" for n in range(1000, 1003)], [f"p{n}" for n in range(10_000, 20_000, 10)]),
    ],
)
def test_ids_that_are_truly_others_have_no_cause(unmatched: list[str], known: list[str]) -> None:
    assert difference(unmatched, known) == ("", "", "")


def test_a_cause_that_holds_for_some_ids_shows_their_share() -> None:
    mixed = [f"{n} " for n in NUMBERS] + [f"gone{n}" for n in range(90)]
    cause, example, known_example = difference(mixed, [str(n) for n in NUMBERS])
    assert cause == "white space or invisible characters, for 25% of the unmatched ids"
    assert (example, known_example) == ("1 ", "1")


def test_digits_lost_in_scientific_notation_are_named_as_the_cause() -> None:
    known = [str(n * 10**11 + 12_345_678) for n in NUMBERS]
    cause, *_ = difference([f"{int(text):.2e}" for text in known], known)
    assert cause.startswith("numbers in scientific notation, whose last digits are lost")


@pytest.mark.parametrize("word", ["nan", "None", " NULL ", "<NA>", "N/A"])
def test_words_for_a_missing_value_are_no_ids(word: str) -> None:
    assert difference([word], ["1", "2"])[0] == "they stand for missing ids"
