from __future__ import annotations

from tolerances import close
from training.report.content import most_important


def test_the_most_important_features_are_shares_of_all_importance_in_falling_order() -> None:
    shares = most_important({"a": 1.0, "b": 6.0, "c": 3.0}, n_features=2)
    assert list(shares) == ["b", "c"]
    close(list(shares.values()), [0.6, 0.3], "float64")


def test_features_that_no_ranker_uses_have_a_share_of_zero() -> None:
    assert most_important({"a": 0.0}) == {"a": 0.0}
