from __future__ import annotations

import polars as pl

from feature_store import EVENTS, SignalConfig
from feature_store.table_checks import check_table
from feature_store.warnings.event_kinds import event_kinds, kind_warnings, unnamed_warnings


def log(**kinds: int) -> pl.DataFrame:
    names = [name for name, n in kinds.items() for _ in range(n)]
    return pl.DataFrame({"event": names, "value": [None] * len(names)}, schema_overrides={"value": pl.Float64})


def test_every_kind_is_counted_with_how_it_is_taken_and_why() -> None:
    events = log(click=3, refund=2, build=1, sold_out=1)
    kinds = event_kinds(events, SignalConfig(negative_events=("sold_out",)))
    assert [str(kind) for kind in kinds] == [
        "3 'click' (positive: a common name)",
        "2 'refund' (negative: a common name)",
        "1 'build' (neutral: no rule names them)",
        "1 'sold_out' (negative: named by an option)",
    ]


def test_ratings_are_counted_by_their_values_and_events_without_a_name_apart() -> None:
    events = pl.DataFrame({"event": ["rating", "rating", None, None], "value": [5.0, 1.0, 3.0, None]})
    assert {str(kind) for kind in event_kinds(events, SignalConfig())} == {
        "2 'rating' (1 positive, 1 negative: by their values)",
        "1 without a name (neutral)",
        "1 without a name (positive)",
    }


def test_cancellations_are_not_counted() -> None:
    events = log(click=2).with_columns(cancels=pl.Series([None, "e1"], dtype=pl.String))
    assert [kind.n_events for kind in event_kinds(events, SignalConfig())] == [1]


def test_a_kind_without_a_rule_is_a_warning_of_the_training_but_for_a_log_of_one_kind() -> None:
    (warning,) = kind_warnings(event_kinds(log(click=3, build=2, ship=1), SignalConfig()))
    assert warning == (
        "event: 'build', 'ship' (3 rows) are taken as neutral, because no rule names them. Name them with "
        "--positive-events, --negative-events or --neutral-events."
    )
    (warning,) = kind_warnings(event_kinds(log(build=2, refund=1), SignalConfig()))
    assert "'build' (2 rows) are taken as positive: no rule names them, and no other event is positive." in warning
    assert kind_warnings(event_kinds(log(build=2), SignalConfig())) == []
    assert kind_warnings(event_kinds(log(click=2, skip=1), SignalConfig())) == []


def test_events_that_are_added_or_observed_get_a_warning_where_no_rule_names_them() -> None:
    rows = pl.DataFrame(
        {
            "user_id": ["u", "u"],
            "item_id": ["i", "j"],
            "timestamp": ["2026-01-02", "2026-01-03"],
            "event": ["click", "build"],
        }
    )
    (warning,) = check_table(rows, EVENTS).warnings
    assert warning.startswith("event: 'build' (1 row) is taken as neutral, because no rule names them.")
    observed = rows.filter(pl.col("event") == "build")
    assert check_table(observed, EVENTS).warnings == ()
    assert len(check_table(observed, EVENTS, signals=SignalConfig(unnamed="neutral")).warnings) == 1
    assert check_table(observed, EVENTS, signals=SignalConfig(unnamed="positive")).warnings == ()
    # A training reports on the whole log.
    assert check_table(rows, EVENTS, signals=SignalConfig()).warnings == ()


def test_names_of_ratings_have_one_warning_only_which_is_about_their_values() -> None:
    events = log(click=2, rate=1, build=1).with_columns(value=pl.Series([None, None, 3.0, None], dtype=pl.Float64))
    (warning,) = kind_warnings(event_kinds(events, SignalConfig()), ratings=["rate"])
    assert warning.startswith("event: 'build' (1 row) is taken as neutral")
    (warning,) = unnamed_warnings(events, SignalConfig())
    assert warning.startswith("event: 'build' (1 row) is taken as neutral")


def test_nothing_is_said_of_models_that_take_other_names_as_positive() -> None:
    assert unnamed_warnings(log(click=1, build=1), SignalConfig(unnamed="positive")) == []
