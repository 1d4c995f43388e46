"""The setting `event_weights`: how it is read, what is wrong with it, and what each event of a log weighs."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store import SignalConfig
from feature_store.warnings.event_kinds import event_kinds
from tolerances import close
from training.config import TrainingConfig
from training.event_weights import (
    event_weights_faults,
    weight_texts,
    weight_warnings,
    weights_by_name,
    weights_of_events,
)


def events(*names: str | None, weight: list[float | None] | None = None) -> pl.DataFrame:
    """Events of these names, without values."""
    columns = {"event": names, "value": [None] * len(names)}
    frame = pl.DataFrame(columns, schema={"event": pl.String, "value": pl.Float64})
    return frame if weight is None else frame.with_columns(weight=pl.Series(weight, dtype=pl.Float64))


@pytest.mark.parametrize(
    "text", ["click", "click=", "=0.2", "click=0", "click=-1", "click=inf", "click=nan", "click=a"]
)
def test_a_text_that_is_no_weight_is_a_fault_with_an_example(text: str) -> None:
    (fault,) = event_weights_faults([text])
    assert fault == (
        f"event_weights: expected NAME=WEIGHT with a number above 0, such as click=0.2, got {text!r}. Correct it."
    )


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"got 'click=0'.*\n.*got 'view'.*\n.*'buy=2' and 'BUY=3'\. Remove one"
    ) as raised:
        TrainingConfig(event_weights=("click=0", "view", "buy=2", "BUY=3"))
    assert len(str(raised.value).splitlines()) == 3


def test_weights_are_read_by_name_and_a_name_may_hold_an_equals_sign() -> None:
    assert weights_by_name([" click = 0.2", "a=b=3", "view=1e-3"]) == {"click": 0.2, "a=b": 3.0, "view": 0.001}
    assert weight_texts({"click": 0.2, "a=b": 3}) == ["click=0.2", "a=b=3"]
    assert weight_texts(["click=0.2"]) == ["click=0.2"]
    assert weight_texts(None) is None


def test_an_event_weighs_what_its_name_does_in_any_spelling_and_1_without_one() -> None:
    log = events("add to cart", "Add-To-Cart", "click", None)
    close(weights_of_events(log, ["add_to_cart=3", "view=9"], SignalConfig()), [3, 3, 1, 1], "exact")
    as_written = SignalConfig(common_names=False)
    close(weights_of_events(log, ["add to cart=3"], as_written), [3, 1, 1, 1], "exact")


def test_the_column_weight_multiplies_the_weight_of_the_name_and_null_is_1() -> None:
    log = events("click", "click", "buy", "buy", weight=[0.5, None, 4, 0])
    close(weights_of_events(log, ["click=0.2"], SignalConfig()), [0.1, 0.2, 4, 0], "float64")


def test_names_that_occur_nowhere_or_are_no_targets_are_reported() -> None:
    log = events("click", "click", "return")
    kinds = event_kinds(log, SignalConfig())
    assert list(weight_warnings(kinds, ["CLICK=0.2"], SignalConfig())) == []
    assert list(weight_warnings(kinds, ["clik=0.2", "return=2"], SignalConfig())) == [
        "event: no event is named 'clik', so its weight has no effect. The log has 'click', 'return'.",
        "event: 'return' is negative, and only positive events are targets, so its weight has no effect.",
    ]
    nameless = event_kinds(events(None), SignalConfig())
    assert list(weight_warnings(nameless, ["buy=2"], SignalConfig())) == [
        "event: no event is named 'buy', so its weight has no effect. No event of the log has a name."
    ]
