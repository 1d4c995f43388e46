from __future__ import annotations

from training.event_options import names_of


def test_names_are_split_at_commas_without_spaces_around_them() -> None:
    assert names_of("view, add to cart ,,") == ("view", "add to cart")
    assert names_of("") == ()
