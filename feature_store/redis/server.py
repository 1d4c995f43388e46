"""One Redis server: scripts sent to it, and its failures in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from feature_store.data_errors import DataError

Argument = str | bytes | int
_AT_ONCE = 500
"""Scripts that are sent before an answer is waited for."""


class UnavailableError(DataError):
    """The server did not answer, or not in time."""


class Server:
    """A connection pool to one server; use it in any thread."""

    def __init__(self, url: str, prefix: str, timeout: float) -> None:
        """`timeout`: seconds for connecting, and for each answer.

        Raises RuntimeError without the package redis, DataError for what is no Redis URL.
        """
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise RuntimeError("online memories in Redis need its client: pip install 'recmem[redis]'") from error
        self.prefix = prefix
        self._timeout = timeout
        self._errors = redis.exceptions
        try:
            shown = urlsplit(url)
            self.shown = f"{shown.scheme}://{shown.hostname or ''}{f':{shown.port}' if shown.port else ''}{shown.path}"
            # A broken connection is made anew once; who waited in vain does not wait again.
            retry = Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
            self.client = redis.Redis.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=retry, client_name="recmem"
            )
        except ValueError as error:
            raise DataError(f"online: expected redis://host:port/db, got {url!r} ({error}). Check it.") from error
        self._scripts: dict[str, Any] = {}

    def call(self, name: str, arguments: Sequence[Argument]) -> Any:
        """What a script answers."""
        with self.failures():
            return self._script(name)(keys=[self.prefix], args=list(arguments))

    def call_each(
        self, name: str, calls: Iterable[Sequence[Argument]], on_progress: Callable[[int], None] | None = None
    ) -> int:
        """The sum of what a script answers to each of the calls, hundreds of them sent at a time."""
        total = 0
        with self.failures():
            for some in _batches(calls, _AT_ONCE):
                pipeline = self.client.pipeline(transaction=False)
                for arguments in some:
                    self._script(name)(keys=[self.prefix], args=list(arguments), client=pipeline)
                total += sum(pipeline.execute())
                if on_progress is not None:
                    on_progress(len(some))
        return total

    @contextmanager
    def failures(self) -> Iterator[None]:
        """What the client raises, as one of ours: UnavailableError, or DataError with what the scripts complain of."""
        try:
            yield
        except self._errors.TimeoutError as error:
            got = f"none within {self._timeout:g} s"
            remedy = "Check the server's load, or give it more time (timeout=)."
            raise UnavailableError(f"online: expected an answer from {self.shown}, got {got}. {remedy}") from error
        except self._errors.ConnectionError as error:
            remedy = "Check that the server runs and can be reached."
            raise UnavailableError(f"online: expected an answer from {self.shown}, got {error}. {remedy}") from error
        except self._errors.RedisError as error:
            raise self._in_words(str(error)) from error

    def _in_words(self, text: str) -> DataError:
        told, _, detail = text.partition("RECMEM ")[2].partition(" ")
        where, reach = f"{self.shown} under {self.prefix!r}", "a moment that the online memories still reach"
        match told:
            case "empty":
                expected, got, remedy = f"memories and counters at {where}", "none, or not yet whole", PUBLISH
            case "settings":
                expected, got, remedy = (
                    "memories that were written by this model's rules",
                    f"others at {where}",
                    PUBLISH,
                )
            case "window":
                got = f"windows of at most {detail} microseconds"
                expected, remedy = "counts over this model's windows", PUBLISH
            case "early":
                expected, got, remedy = reach, f"one before {_moment(detail)}", ASK_OFFLINE
            case "short":
                got = f"one after which user {detail!r} did more than is held"
                expected, remedy = reach, ASK_OFFLINE
            case _:
                expected, got, remedy = f"an answer from {self.shown}", f"the error {text!r}", "Check the server."
        return DataError(f"online: expected {expected}, got {got}. {remedy}")

    def _script(self, name: str) -> Any:
        if name not in self._scripts:
            self._scripts[name] = self.client.register_script(_source(name))
        return self._scripts[name]


PUBLISH = "Run recmem publish, with this model and its store."
ASK_OFFLINE = "Ask about later moments, or without online memories."


@cache
def _source(name: str) -> str:
    here = files(__package__)
    return "\n".join((here / f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", name))


def _batches(calls: Iterable[Sequence[Argument]], size: int) -> Iterator[list[Sequence[Argument]]]:
    some: list[Sequence[Argument]] = []
    for call in calls:
        some.append(call)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _moment(microseconds: str) -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))).isoformat()
