"""One model in several processes over one Redis: what one observes all remember, as one process would."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from traceback import format_exception

import polars as pl
import pytest
from typer.testing import CliRunner

from debian_model import trained_model
from feature_store import DataError, Store
from feature_store.redis import LostDataError, RedisMemories, UnavailableError
from recmem.cli.app import app
from recmem.dataset.shared_memories import publish
from recmem.forgetting import forget as forget_module
from recmem.forgetting.forget import forget_item, forget_user
from recmem.serving.model import Model
from redis_server import free_port, running

NAMES = count()
FIRST = 0.8
"""Share of the events that the tables hold; the rest is observed."""


@pytest.fixture
def online(redis_url: str) -> Iterator[RedisMemories]:
    memories = RedisMemories(f"{redis_url}#model{next(NAMES)}", timeout=5)
    yield memories
    memories.clear()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that ends before the last events."""
    store = Store.create(tmp_path / "store")
    store.append_items(trained_model().items)
    store.append_events(split()[0])
    return store


def split() -> tuple[pl.DataFrame, pl.DataFrame]:
    known = pl.max_horizontal("timestamp", "available_at")
    events = trained_model().events.sort(known)
    n_first = int(len(events) * FIRST)
    return events.head(n_first), events.tail(len(events) - n_first)


def loaded(store: Store, online: RedisMemories | str | None = None) -> Model:
    return Model.load(trained_model().bundle, store=store, online=online, device="cpu")


def asked() -> pl.DataFrame:
    users = pl.DataFrame({"user_id": [*trained_model().events["user_id"].unique().sort().head(12), "nobody"]})
    return users.join(trained_model().items.select("item_id").head(25), how="cross").sample(
        fraction=1, shuffle=True, seed=0
    )


def test_what_one_process_observes_all_remember(store: Store, online: RedisMemories) -> None:
    publish(loaded(store).dataset, online)
    one, other, alone = loaded(store, online), loaded(store, online), loaded(store)
    later = split()[1].with_columns(
        user_id=pl.when(pl.col("user_id") == "curl").then(pl.lit("a new user")).otherwise("user_id")
    )
    for part in later.iter_slices(7):
        printed = one.observe(part)
        assert (printed.n_new, printed.n_rejected) == (len(part), 0)
        one, other = other, one
    assert other.observe(later).n_duplicate == len(later)
    alone.observe(later)
    for model in (one, other):
        assert model.match(asked()).equals(alone.match(asked()))
        # The item-item models stay those of the tables until they are loaded anew; nothing else does.
        model.dataset = replace(model.dataset, timeline=alone.dataset.timeline)
        shared_report, report = model.rank_with_report(asked()), alone.rank_with_report(asked())
        assert shared_report.frame.equals(report.frame)
        assert shared_report.unmatched == report.unmatched
        assert model.memory("a new user").equals(alone.memory("a new user"))
        users = [*asked()["user_id"].unique().sort(), "a new user"]
        for user in users:
            assert model.memory(user).equals(alone.memory(user))
        printed = model.explain("a new user", asked()["item_id"][0])
        assert printed.match_raw == alone.explain("a new user", asked()["item_id"][0]).match_raw


def test_with_the_tables_published_all_answers_are_those_of_the_tables(online: RedisMemories) -> None:
    store = Store.open(trained_model().store)
    publish(loaded(store).dataset, online)
    shared, alone = loaded(store, online), loaded(store)
    users = asked()["user_id"].unique().sort().to_list()
    assert shared.rank(asked()).equals(alone.rank(asked()))
    assert shared.recommend(users, k=5).equals(alone.recommend(users, k=5))
    later = asked().with_columns(timestamp=pl.lit("2031-01-01"))
    assert shared.rank(later).equals(alone.rank(later))
    inline = asked().with_columns(history=pl.lit([asked()["item_id"][0]]))
    assert shared.rank(inline).equals(alone.rank(inline))


def test_one_event_dated_2099_moves_nobody_in_shared_memories(store: Store, online: RedisMemories) -> None:
    publish(loaded(store).dataset, online)
    shared, alone = loaded(store, online), loaded(store)
    plain = asked()
    before = shared.rank(plain)
    wrong = (
        split()[1]
        .head(1)
        .with_columns(
            timestamp=pl.lit("2099-01-01").str.to_datetime(time_unit="us", time_zone="UTC"),
            available_at=pl.lit(None, pl.Datetime("us", "UTC")),
            event_id=pl.lit("wrong"),
        )
    )
    for model in (shared, alone):
        receipt = model.observe(wrong)
        assert receipt.n_new == 1
        assert any("after the present" in warning for warning in receipt.warnings)
        assert model.rank(plain).equals(before)
    order = wrong.with_columns(event_id=pl.lit(None, pl.String), cancels=pl.lit("wrong"))
    refused = shared.observe(order)
    assert refused.n_rejected == 1
    assert any("a cancellation from the past" in reason for reason in refused.reasons)
    store.append_events(wrong)
    store.append_events(order)
    publish(loaded(store).dataset, online)
    reloaded = loaded(store, online)
    assert reloaded.rank(plain).equals(before)
    assert reloaded.rank(plain).equals(loaded(store).rank(plain))
    next_one = split()[1].tail(1)
    for model in (reloaded, alone):
        assert model.observe(next_one).n_new == 1
    assert reloaded.match(plain).equals(alone.match(plain))


def test_values_without_an_event_are_ratings_in_shared_memories_too(store: Store, online: RedisMemories) -> None:
    publish(loaded(store).dataset, online)
    shared, alone = loaded(store, online), loaded(store)
    rated = (
        split()[1]
        .head(3)
        .select("user_id", "item_id", "timestamp")
        .with_columns(user_id=pl.lit("rater"), value=pl.Series([1.0, 3.0, 5.0]))
    )
    for model in (shared, alone):
        model.observe(rated)
    assert sorted(shared.memory("rater")["kind"]) == ["negative", "neutral", "positive"]
    assert shared.memory("rater").equals(alone.memory("rater"))


def test_events_that_cannot_be_taken_in_are_told(store: Store, online: RedisMemories) -> None:
    publish(loaded(store).dataset, online)
    model = loaded(store, online)
    row = split()[1].head(1).select("user_id", "item_id", "timestamp")
    strange = row.with_columns(item_id=pl.lit("no-such-item"))
    late = row.with_columns(timestamp=pl.lit("1990-01-01").str.to_datetime(time_unit="us", time_zone="UTC"))
    null = row.with_columns(user_id=pl.lit(None, pl.String))
    printed = model.observe(pl.concat([row, row, strange, late, null]))
    assert (printed.n_in, printed.n_new, printed.n_duplicate, printed.n_rejected) == (5, 1, 1, 3)
    assert sum(printed.reasons.values()) == 3
    assert any("that the process has loaded" in reason for reason in printed.reasons)
    assert any("a later time" in reason for reason in printed.reasons)


def test_without_a_server_there_is_an_error_or_if_asked_for_the_tables_answer(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(UnavailableError, match="Check that the server runs"):
        loaded(store, url)
    model, alone = loaded(store, RedisMemories(url, timeout=0.2, on_failure="tables")), loaded(store)
    report = model.rank_with_report(asked())
    assert report.frame.equals(alone.rank(asked()))
    assert report.unmatched.unanswered == len(asked())
    assert model.recommend_with_report(["curl"], k=2).unmatched.unanswered == 1
    assert alone.recommend_with_report(["curl"], k=2).unmatched.unanswered == 0
    model.memory("curl")
    assert "did not answer" in caplog.text
    with pytest.raises(UnavailableError):  # an event is never lost in silence
        model.observe(split()[1])


def test_nothing_published_is_told_at_once(store: Store, online: RedisMemories) -> None:
    with pytest.raises(DataError, match="recmem publish"):
        loaded(store, online)


def test_who_is_forgotten_is_a_stranger_online_too(
    store: Store, online: RedisMemories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget_module, "registered_versions", dict)
    publish(loaded(store).dataset, online)
    stale = loaded(store, online)
    user = str(split()[0]["user_id"].mode()[0])
    assert stale.memory(user).height > 5
    receipt = forget_user(store, user, online)
    assert receipt.online
    both = asked().with_columns(user_id=pl.lit(user)), asked().with_columns(user_id=pl.lit("nobody at all"))
    for model in (loaded(store, online), stale):
        assert model.memory(user).is_empty()
        mine, theirs = (model.rank(frame).drop("user_id") for frame in both)
        assert mine.equals(theirs)
        best = [model.recommend([name], k=5).drop("user_id") for name in (user, "nobody at all")]
        assert best[0].equals(best[1])
    assert loaded(store, online).rank(asked()).equals(loaded(store).rank(asked()))
    item = str(split()[0]["item_id"].mode()[0])
    assert forget_item(store, item, online).online
    rest = asked().filter(pl.col("item_id") != item)
    assert loaded(store, online).rank(rest).equals(loaded(store).rank(rest))


def test_the_commands(store: Store, online: RedisMemories, redis_url: str, tmp_path: Path) -> None:
    name = online._server.prefix
    common = ["--model", str(trained_model().bundle), "--store", store.path]
    url = ["--online", f"{redis_url}#{name}"]
    done = CliRunner().invoke(app, ["publish", *common, *url])
    assert done.exit_code == 0, done.output
    assert f"{split()[0]['user_id'].n_unique()} memories" in done.stdout
    remembered = CliRunner().invoke(app, ["memory", *common, *url, "--user", "curl"])
    assert remembered.stdout == CliRunner().invoke(app, ["memory", *common, "--user", "curl"]).stdout
    asked().write_parquet(tmp_path / "candidates.parquet")
    for place, more in (("tables", []), ("online", url)):
        scored = ["score", *common, *more, "--candidates", str(tmp_path / "candidates.parquet")]
        assert CliRunner().invoke(app, [*scored, "--out", str(tmp_path / f"{place}.parquet")]).exit_code == 0
    assert pl.read_parquet(tmp_path / "online.parquet").equals(pl.read_parquet(tmp_path / "tables.parquet"))
    audited = CliRunner().invoke(app, ["audit", *common, *url, "--queries", "20", "--cuts", "1"])
    assert audited.exit_code == 0, audited.output
    assert "0 differences" in audited.stdout
    gone = CliRunner().invoke(app, ["forget", "--store", store.path, "--user", "curl", "--yes", *url])
    assert gone.exit_code == 0, gone.output
    assert "shared memories: " in gone.stdout
    empty = CliRunner().invoke(app, ["memory", *common, *url, "--user", "curl"])
    assert "The memory of curl is empty" in empty.stdout
    shutil.rmtree(store.path)


def test_lost_data_is_refused_or_if_asked_for_the_tables_answer(store: Store, online: RedisMemories) -> None:
    publish(loaded(store).dataset, online)
    url = f"redis://{online._server.shown.partition('://')[2]}#{online._server.name}"
    strict, lenient = loaded(store, online), loaded(store, RedisMemories(url, timeout=5, on_failure="tables"))
    alone = loaded(store)
    online._server.client.delete(online._server.key("users"))
    with pytest.raises(UnavailableError, match="the server lost data"):
        strict.rank(asked())
    with pytest.raises(UnavailableError, match="the server lost data"):
        lenient.observe(split()[1])
    report = lenient.rank_with_report(asked())
    assert report.frame.equals(alone.rank(asked()))
    assert report.unmatched.unanswered == len(asked())
    with pytest.raises(LostDataError, match="the server lost data"):  # when loading, not at each request
        loaded(store, RedisMemories(url, timeout=5, on_failure="tables"))
    (warning,) = publish(loaded(store).dataset, online).warnings
    assert "published anew" in warning
    assert strict.rank(asked()).equals(alone.rank(asked()))


def test_the_memories_of_another_store_are_not_taken_for_those_of_this_one(
    store: Store, online: RedisMemories, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget_module, "registered_versions", dict)
    other = Store.create(tmp_path / "other")
    other.append_items(trained_model().items)
    other.append_events(split()[1])
    publish(loaded(store).dataset, online)
    model = loaded(store, online)
    with pytest.raises(DataError, match="got memories of another store"):
        loaded(other, online)
    with pytest.raises(DataError, match="got memories of another store"):
        publish(loaded(other).dataset, online)
    for forget, given in ((forget_user, "curl"), (forget_item, asked()["item_id"][0])):
        n_before = len(other.events())
        with pytest.raises(DataError, match="got memories of another store"):
            forget(other, given, online)
        assert len(other.events()) == n_before
    command = ["publish", "--model", str(trained_model().bundle), "--store", other.path]
    command += ["--online", f"{redis_url}#{online._server.name}"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "recmem publish --replace" in refused.stderr
    assert model.rank(asked()).equals(loaded(store).rank(asked()))
    done = CliRunner().invoke(app, [*command, "--replace"])
    assert done.exit_code == 0, done.output
    assert loaded(other, online).rank(asked()).equals(loaded(other).rank(asked()))
    with pytest.raises(DataError, match="got memories of another store"):
        model.rank(asked())
    with pytest.raises(DataError, match="got memories of another store"):
        model.observe(split()[1])


def test_a_store_keeps_its_identity_when_rows_come_and_go(store: Store, tmp_path: Path) -> None:
    identity = store.identity()
    store.append_events(split()[1])
    store.forget_user("curl")
    assert Store.open(store.path).identity() == identity
    assert len(identity) == 16
    assert Store.create(tmp_path / "other").identity() != identity


def test_a_killed_audit_leaves_keys_that_expire(
    store: Store, online: RedisMemories, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = online._server.client
    before = set(client.scan_iter("*"))
    monkeypatch.setattr(RedisMemories, "clear", lambda self: None)  # as if it was killed before its end
    command = [
        "audit",
        "--model",
        str(trained_model().bundle),
        "--store",
        store.path,
        "--online",
        f"{redis_url}#shop:eu",
    ]
    done = CliRunner().invoke(app, [*command, "--queries", "10", "--cuts", "1"])
    assert done.exit_code == 0, done.output
    left = set(client.scan_iter("*")) - before
    assert len(left) > 20
    assert all(key.startswith(b"audit-") for key in left)
    assert {0 < client.ttl(key) <= 86_400 for key in left} == {True}
    client.delete(*left)


def test_a_server_that_may_evict_gives_a_warning_at_publish_and_at_loading(
    store: Store, online: RedisMemories, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = online._server.client
    command = ["publish", "--model", str(trained_model().bundle), "--store", store.path]
    command += ["--online", f"{redis_url}#{online._server.name}"]
    client.config_set("maxmemory", 2**30)
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        loaded(store, online)
    finally:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")
    for printed in (done.stderr, caplog.text):
        assert "maxmemory-policy allkeys-lru" in printed
    assert "Warning: " not in CliRunner().invoke(app, command).stderr


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_no_command_shows_the_password_of_an_address(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, debug: list[str]
) -> None:
    asked().write_parquet(tmp_path / "candidates.parquet")
    common = ["--model", str(trained_model().bundle), "--store", store.path]
    score = ["--candidates", str(tmp_path / "candidates.parquet"), "--out", str(tmp_path / "scores.parquet")]
    publishing = ["publish", *common]
    remembering = ["memory", *common, "--user", "curl"]
    forgetting_user = ["forget", "--store", store.path, "--user", "curl", "--yes"]
    explaining = ["explain", *common, "--user", "curl", "--item", asked()["item_id"][0]]
    port = free_port()
    server = f"127.0.0.1:{port}/0"
    wrong = f"redis://:hunter2@{server}#shop"
    calls = [(wrong, each) for each in (publishing, remembering, forgetting_user, explaining)]
    calls += [(wrong, ["score", *common, *score]), (wrong, ["audit", *common])]
    unusable = (
        f"redis://{server}?password=hunter2",
        f"redis://hunter2:x@127.0.0.1:{free_port()}/0",
        "redis://:hunter2@host:port",
        "redis://:hunter2#x@host",
        "redis://:hun/hunter2@host",
        "hunter2@host",
    )
    calls += [(url, command) for url in unusable for command in (publishing, forgetting_user)]
    with running(tmp_path, port, ["--requirepass", "another"]):
        for url, command in calls:
            done = CliRunner().invoke(app, [*debug, *command, "--online", url])
            assert done.exit_code == 1, done.output
            traceback = "" if done.exception is None else "".join(format_exception(done.exception))
            assert "hunter2" not in done.output + traceback + caplog.text
            assert "online: expected" in done.output + traceback
