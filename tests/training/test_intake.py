"""What the step ingest leaves: the same after writing and reading, and its counts as metrics."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

import small_training
from feature_store import EVENTS, IMPRESSIONS, SignalConfig, Store
from training.intake import Intake


def intake_of(folder: Path) -> Intake:
    """Items, events with two rejected and three unmatched rows."""
    store = Store.create(folder / "store")
    events = small_training.events()
    nameless = events.head(2).with_columns(user_id=pl.lit(None, pl.String))
    foreign = events.head(3).with_columns(item_id=pl.lit("elsewhere"))
    alone = pl.DataFrame({"item_id": ["nobody-has-it"], "title": ["A library"], "section": ["sound"]})
    items = pl.concat([small_training.items(), alone])
    receipts = store.append_items(items), store.append_events(pl.concat([events, nameless, foreign]))
    return Intake.of(store, receipts, SignalConfig())


def test_intake_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    intake = intake_of(tmp_path)
    intake.write(tmp_path / "intake.json")
    read = Intake.read(tmp_path / "intake.json")
    assert read == intake
    assert str(read.receipts[1]) == str(intake.receipts[1])
    assert not read.reused
    assert read.as_reused().reused


def test_counts_are_metrics(tmp_path: Path) -> None:
    assert intake_of(tmp_path).metrics() == {
        "items_without_events": 1,
        "rows_read/items": 22,
        "rows_new/items": 22,
        "rows_duplicate/items": 0,
        "rows_rejected/items": 0,
        "rows_known/items": 0,
        "warnings/items": 0,
        "rows_read/events": 185,
        "rows_new/events": 183,
        "rows_duplicate/events": 0,
        "rows_rejected/events": 2,
        "rows_known/events": 0,
        "warnings/events": 0,
        "rows_unmatched/events.item_id": 3,
    }


def test_numeric_columns_of_items_without_times_are_listed(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(pl.DataFrame({"item_id": ["i1"], "title": ["A library"], "weight": [3.5], "size": [2]}))
    store.append_events(rated(5.0))
    assert Intake.of(store, (), SignalConfig()).undated == ("items.size", "items.weight")
    store.append_items(pl.DataFrame({"item_id": ["i1"], "timestamp": ["2026-01-01"], "size": [3]}))
    intake = Intake.of(store, (), SignalConfig())
    assert intake.undated == ("items.weight",)
    intake.write(tmp_path / "intake.json")
    assert Intake.read(tmp_path / "intake.json") == intake


def test_versions_and_digest_are_those_of_the_store(tmp_path: Path) -> None:
    intake = intake_of(tmp_path)
    store = Store.open(tmp_path / "store")
    assert intake.versions == store.versions()
    assert intake.digest == store.digest()
    assert intake.n_unmatched("events.item_id") == 3
    assert intake.n_unmatched("impressions.item_id") == 0


def rated(*values: float) -> pl.DataFrame:
    """Ratings of one item, one per user."""
    n_users = len(values)
    return pl.DataFrame(
        {
            "user_id": [f"u{user}" for user in range(n_users)],
            "item_id": ["i1"] * n_users,
            "timestamp": [1_700_000_000 + user for user in range(n_users)],
            "event": ["rating"] * n_users,
            "value": list(values),
        }
    )


def test_ratings_of_an_existing_store_are_judged_by_the_thresholds_of_the_run(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(pl.DataFrame({"item_id": ["i1"], "title": ["A library"]}))
    store.append_events(rated(*[0.0, 1.0] * 20))
    (warning,) = Intake.of(store, (), SignalConfig()).warnings
    assert warning.startswith("events.value: 40 ratings lie between 0 and 1, and none is positive")
    assert Intake.of(store, (), SignalConfig(positive_from=1, negative_to=0)).warnings == ()


def test_events_that_were_given_are_not_judged_a_second_time(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    given = store.append_events(rated(*[0.0, 1.0] * 20))
    assert any("none is positive" in warning for warning in given.warnings)
    assert Intake.of(store, (given,), SignalConfig()).warnings == ()
    fitting = Store.create(tmp_path / "another").append(
        EVENTS, rated(*[0.0, 1.0] * 20), signals=SignalConfig(positive_from=1, negative_to=0)
    )
    assert not any("none is positive" in warning for warning in fitting.warnings)


def test_columns_that_nothing_reads_are_named_once(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    times = ["2026-01-01", "2026-01-02"]
    items = {"item_id": ["i", "j"], "title": ["A", "B"], "price": [1, 2], "link": ["https://a.de/1", "https://a.de/2"]}
    store.append_items(pl.DataFrame(items))
    rows = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["i", "j"], "timestamp": times})
    store.append_events(rows.with_columns(session_id=pl.lit("s")))
    shown = rows.with_columns(label=pl.lit(1), impression_id=pl.lit("a"), ctr=pl.lit(0.5), device=pl.lit("tv"))
    store.append(IMPRESSIONS.with_features(["ctr", "device"]), shown)
    intake = Intake.of(store, (), SignalConfig(), ["ctr"])
    assert intake.unused == ("items.link", "events.session_id", "impressions.device")
    intake.write(tmp_path / "intake.json")
    assert Intake.read(tmp_path / "intake.json") == intake


def test_columns_of_dates_are_told_from_others_that_nothing_reads(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    items = {"item_id": ["i", "j"], "title": ["A", "B"], "link": ["https://a.de/1", "https://a.de/2"]}
    dates = {"released": ["2026-01-01", "2026-02-01"], "published_at": [date(2026, 1, 1), date(2026, 2, 1)]}
    store.append_items(pl.DataFrame(items | dates))
    store.append_events(pl.DataFrame({"user_id": ["u", "v"], "item_id": ["i", "j"], "timestamp": dates["released"]}))
    store.append_users(pl.DataFrame({"user_id": ["u", "v"], "joined": dates["published_at"]}))
    intake = Intake.of(store, (), SignalConfig())
    assert set(intake.unused) == {"items.link", "items.released", "items.published_at", "users.joined"}
    assert set(intake.dates) == set(intake.unused) - {"items.link"}
    intake.write(tmp_path / "intake.json")
    assert Intake.read(tmp_path / "intake.json") == intake


def test_a_rating_of_another_name_has_one_warning(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    rows = {"user_id": ["u"] * 2, "item_id": ["i"] * 2, "timestamp": ["2026-01-01", "2026-01-02"]}
    store.append_events(pl.DataFrame(rows | {"event": ["click", "rate"], "value": [None, 5.0]}))
    (warning,) = Intake.of(store, (), SignalConfig()).warnings
    assert warning.startswith("events.value: it is not read in rows whose event is 'rate' (neutral)")
    assert Intake.of(store, (), SignalConfig(rating_events=("rating", "rate"))).warnings == ()


def test_how_events_are_taken_is_kept_with_the_run(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    rows = {"user_id": ["u"] * 3, "item_id": ["i"] * 3, "timestamp": ["2026-01-01", "2026-01-02", "2026-01-03"]}
    store.append_events(pl.DataFrame(rows | {"event": ["click", "complaint", "pondered"]}))
    taken = Intake.of(store, (), SignalConfig(positive_events=("pondered",)))
    assert {(kind.event, kind.taken_as, kind.rule) for kind in taken.kinds} == {
        ("click", "positive", "common"),
        ("complaint", "negative", "common"),
        ("pondered", "positive", "named"),
    }
    assert taken.warnings == ()
    (warning,) = Intake.of(store, (), SignalConfig()).warnings
    assert warning.startswith("events.event: 'pondered' (1 row) is taken as neutral")
    taken.write(tmp_path / "intake.json")
    assert Intake.read(tmp_path / "intake.json") == taken


def test_weights_and_positions_that_a_training_uses_are_kept_with_the_run(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    rows = {"user_id": ["u"] * 2, "item_id": ["i"] * 2, "timestamp": ["2026-01-01", "2026-01-02"]}
    store.append_items(pl.DataFrame({"item_id": ["i"], "title": ["A library"]}))
    store.append_events(pl.DataFrame(rows | {"event": ["click", "return"]}))
    shown = {"impression_id": ["a", "b"], "label": [1, 0], "position": [1, 2], "weight": [0.5, None]}
    store.append(IMPRESSIONS, pl.DataFrame(rows | shown))
    weights = ("click=0.2", "return=2")
    intake = Intake.of(store, (), SignalConfig(), weights=weights, debiases=True)
    assert [sentence.partition(":")[0] for sentence in intake.used] == [
        "events.event",
        "impressions.weight",
        "impressions.position",
    ]
    (warning,) = intake.warnings
    assert warning.startswith("events.event: 'return' is negative, and only positive events are targets")
    assert intake.unused == ()
    assert Intake.of(store, (), SignalConfig()).unused == ("impressions.position",)
    intake.write(tmp_path / "intake.json")
    assert Intake.read(tmp_path / "intake.json") == intake
