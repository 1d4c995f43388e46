"""One Redis server: runs this folder's scripts on it, and reports its errors as DataError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from feature_store.data_errors import DataError

Argument = str | bytes | int
_CALLS_PER_BATCH = 500
"""Script calls that are sent before waiting for their answers."""
_KEYS_PER_SCAN = 1000
_SHARED = "shared_functions"
_PUBLISH = "Run `recmem publish` with this model and its store."
_READ_TABLES = "Use a later time, or load the model without `online`."
_MICROSECONDS_PER_DAY = 86_400_000_000


class UnavailableError(DataError):
    """The server did not answer in time, or could not be reached."""


class Server:
    """A thread-safe connection pool to one server, for the keys under one prefix."""

    def __init__(self, url: str, prefix: str, timeout: float) -> None:
        """`timeout`: seconds to connect, and for each answer.

        Raises DataError if the package redis is not installed, or the URL is not a Redis URL.
        """
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise DataError(
                "online: expected the Python package redis, got none. Run pip install 'recmem[redis]'."
            ) from error
        self.prefix = prefix
        self._timeout = timeout
        self._errors = redis.exceptions
        self.shown = _without_password(url)
        try:
            # A broken connection is opened once more. A timeout is not retried, because the caller has waited already.
            retry = Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
            self.client = redis.Redis.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=retry, client_name="recmem"
            )
        except ValueError as error:
            remedy = "Check the URL; special characters in a password have to be percent-encoded."
            raise DataError(f"online: expected redis://host:port/db, got {self.shown!r}. {remedy}") from error
        self._scripts: dict[str, Any] = {}

    def call(self, name: str, arguments: Sequence[Argument]) -> Any:
        """Runs a script; returns its answer."""
        with self.failures():
            return self._script(name)(keys=[self.prefix], args=list(arguments))

    def call_each(
        self, name: str, calls: Iterable[Sequence[Argument]], on_progress: Callable[[int], None] | None = None
    ) -> int:
        """Runs a script once per list of arguments, hundreds per round trip; returns the sum of its answers."""
        total = 0
        with self.failures():
            for batch in _batches(calls, _CALLS_PER_BATCH):
                pipeline = self.client.pipeline(transaction=False)
                for arguments in batch:
                    self._script(name)(keys=[self.prefix], args=list(arguments), client=pipeline)
                total += sum(pipeline.execute())
                if on_progress is not None:
                    on_progress(len(batch))
        return total

    def meta(self, *fields: str) -> list[str | None]:
        """Values of the meta hash; None for a field that it lacks."""
        with self.failures():
            values: list[Any] = self.client.hmget(self.key("meta"), list(fields))
        return [None if value is None else value.decode() for value in values]

    def set_meta(self, field: str, value: int) -> None:
        """Sets a field of the meta hash."""
        with self.failures():
            self.client.hset(self.key("meta"), field, str(value))

    def fields(self, name: str) -> list[str]:
        """The fields of a hash."""
        with self.failures():
            fields: list[Any] = self.client.hkeys(self.key(name))
        return [field.decode() for field in fields]

    def add_scores(self, name: str, scores: Mapping[bytes, int]) -> None:
        """Adds members with their scores to a sorted set."""
        with self.failures():
            self.client.zadd(self.key(name), dict(scores))

    def keys(self, start: str) -> Iterator[bytes]:
        """All keys that begin with the prefix and `start`; some may come twice."""
        pattern = _literal(self.key(start)) + "*"
        with self.failures():
            yield from self.client.scan_iter(match=pattern, count=_KEYS_PER_SCAN)

    def delete_all(self) -> None:
        """Removes everything under the prefix, the meta hash first, so that no incomplete state is read."""
        with self.failures():
            self.client.delete(self.key("meta"))
            for key in self.keys(""):
                self.client.unlink(key)

    def key(self, name: str) -> str:
        """The full name of a key."""
        return f"{self.prefix}:{name}"

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turns errors of the client into UnavailableError, and errors that the scripts return into DataError."""
        try:
            yield
        except self._errors.TimeoutError as error:
            got = f"none within {self._timeout:g} s"
            remedy = "Check the server's load, or raise RedisMemories(timeout=...)."
            raise UnavailableError(f"online: expected an answer from {self.shown}, got {got}. {remedy}") from error
        except self._errors.ConnectionError as error:
            got = f"an error ({str(error).rstrip('.')})"
            remedy = "Check that the server runs, and the URL's host, port and password."
            raise UnavailableError(f"online: expected an answer from {self.shown}, got {got}. {remedy}") from error
        except self._errors.RedisError as error:
            raise self._in_words(str(error)) from error

    def _in_words(self, text: str) -> DataError:
        """The error of a script, which is "RECMEM <what> <detail>", or of the server itself."""
        what, _, detail = text.partition("RECMEM ")[2].partition(" ")
        where = f"{self.shown} under {self.prefix!r}"
        covered = "a time that the shared memories still cover"
        match what:
            case "empty":
                expected = f"memories and counters at {where}"
                got = "none, or an unfinished publish"
                remedy = _PUBLISH
            case "settings":
                expected = "memories with this model's settings"
                got = f"memories with different settings at {where}"
                remedy = _PUBLISH
            case "window":
                expected = "counters over windows as long as this model's"
                got = f"windows of at most {int(detail) / _MICROSECONDS_PER_DAY:.4g} days"
                remedy = _PUBLISH
            case "early":
                expected = covered
                got = f"one before {_iso(detail)}"
                remedy = _READ_TABLES
            case "short":
                expected = covered
                got = f"one after which user {detail!r} had more events than are held"
                remedy = _READ_TABLES
            case _:
                expected = f"an answer from {self.shown}"
                got = f"the error {text!r}"
                remedy = "Check the server and its log."
        return DataError(f"online: expected {expected}, got {got}. {remedy}")

    def _script(self, name: str) -> Any:
        if name not in self._scripts:
            self._scripts[name] = self.client.register_script(_source(name))
        return self._scripts[name]


@cache
def _source(name: str) -> str:
    folder = files(__package__)
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in (_SHARED, name))


def _without_password(url: str) -> str:
    """The URL without user, password and parameters, also where it cannot be parsed."""
    before, _, address = url.rpartition("@")
    scheme = before.partition("://")[0] + "://" if "://" in before else ""
    return scheme + address.partition("?")[0]


def _batches(calls: Iterable[Sequence[Argument]], size: int) -> Iterator[list[Sequence[Argument]]]:
    remaining = iter(calls)
    while batch := list(islice(remaining, size)):
        yield batch


def _literal(text: str) -> str:
    """The text as a Redis pattern that matches only itself."""
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in text)


def _iso(microseconds: str) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))).isoformat()
