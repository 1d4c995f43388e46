from __future__ import annotations

import pytest

from feature_store.event_names import common_sign, spelling


@pytest.mark.parametrize(
    ("sign", "names"),
    [
        (1, "view click cart purchase play Add-To-Cart addtocart pageview watched streams bought item_view like event"),
        (-1, "skip return dislike hide refund complaint unsubscribe remove_from_cart thumbs-down Not-Interested"),
        (0, "impression exposure"),
    ],
)
def test_common_names_are_known_in_any_spelling(sign: int, names: str) -> None:
    for name in names.split():
        assert common_sign(name) == sign, name
        assert common_sign(f" {name.upper()} ") == sign, name


@pytest.mark.parametrize("name", ["depends", "build", "", "+1", "👍", "viewport", "returning_user", "見る"])
def test_other_names_say_nothing(name: str) -> None:
    assert common_sign(name) is None


def test_spellings_of_one_name_are_one_and_signs_stay() -> None:
    assert {spelling(name) for name in ("Add to cart", "add-to-cart", "ADD_TO  CART ")} == {"add_to_cart"}
    assert spelling("+1") != spelling("-1")
    assert spelling("👍") != spelling("👎")
