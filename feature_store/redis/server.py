"""One Redis server: runs this folder's scripts on it, and reports its errors as DataError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from feature_store.addresses import redact, without_secrets
from feature_store.data_errors import DataError
from feature_store.extras import install_command
from feature_store.redis.error_words import UnavailableError, in_words
from feature_store.redis.key_space import patterns, prefix_of, single_keys
from feature_store.redis.server_state import ServerState

Argument = str | bytes | int
_CALLS_PER_BATCH = 500
"""Script calls that are sent before waiting for their answers."""
_KEYS_PER_SCAN = 1000
_KEYS_PER_DELETE = 1000
_TRIES = 3
"""How often a batch is sent while the server forgets the scripts."""
_SHARED = "shared_functions"
_CODES = {
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM command not allowed",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "MovedError": "MOVED",
    "ClusterDownError": "CLUSTERDOWN",
    "ClusterCrossSlotError": "CROSSSLOT",
    "MasterDownError": "MASTERDOWN",
}
"""Codes of errors whose text the client gives without them."""


class Server:
    """A thread-safe connection pool to one server, for the keys of one name."""

    def __init__(self, url: str, name: str, timeout: float) -> None:
        """`timeout`: seconds to connect, and for each answer.

        Raises DataError if the package redis is not installed, or the URL is not a Redis URL.
        """
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise DataError(
                f"online: expected the Python package redis, got none. Run {install_command('redis')}."
            ) from error
        self.name = name
        self.prefix = prefix_of(name)
        self._url = url
        self._timeout = timeout
        self._errors = redis.exceptions
        self.shown = _shown(url)
        try:
            # A broken connection is opened once more. A timeout is not retried, because the caller has waited already.
            retry = Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
            self.client = redis.Redis.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=retry, client_name="recmem"
            )
        except ValueError:
            remedy = "Check the URL; special characters in a password have to be percent-encoded."
            # Not `from` the error: it may quote the password.
            raise DataError(f"online: expected redis://host:port/db, got {self.shown!r}. {remedy}") from None
        self._scripts: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Server({self.shown!r}, {self.name!r})"

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
                total += sum(self._answers(name, batch))
                if on_progress is not None:
                    on_progress(len(batch))
        return total

    def meta(self, *fields: str) -> list[str | None]:
        """Values of the meta hash; None for a field that it lacks."""
        with self.failures():
            values: list[Any] = self.client.hmget(self.key("meta"), list(fields))
        return [None if value is None else value.decode() for value in values]

    def fields(self, name: str) -> Iterator[bytes]:
        """The fields of a hash, read in parts; some may come twice."""
        with self.failures():
            for field, _ in self.client.hscan_iter(self.key(name), count=_KEYS_PER_SCAN):
                yield field

    def keys(self, families: str) -> Iterator[bytes]:
        """All keys of users and items of the given families (`key_space.patterns`); some may come twice."""
        with self.failures():
            for pattern in patterns(self.prefix, families):
                yield from self.client.scan_iter(match=pattern, count=_KEYS_PER_SCAN)

    def delete_all(self, *, forgotten: bool) -> int:
        """Removes all keys of the name, the meta hash first, so that no incomplete state is read; how many there were.

        `forgotten`: also the digests of forgotten users.
        """
        n_deleted = 0
        with self.failures():
            for key in single_keys(self.prefix, forgotten=forgotten):
                n_deleted += int(self.client.unlink(key))
            for pattern in patterns(self.prefix):
                keys = self.client.scan_iter(match=pattern, count=_KEYS_PER_SCAN)
                for batch in _batches(keys, _KEYS_PER_DELETE):
                    n_deleted += int(self.client.unlink(*batch))
        return n_deleted

    def key(self, name: str) -> str:
        """The full name of a key."""
        return f"{self.prefix}:{name}"

    def state(self) -> ServerState:
        """The server's own report; empty if it gives none."""
        info: dict[str, Any] = {}
        for section in ("memory", "server"):
            with self.failures():
                try:
                    info |= self.client.info(section)
                except self._errors.ResponseError:  # INFO is forbidden on some managed servers
                    continue
        return ServerState.of(info)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turns errors of the client into UnavailableError, and errors that the scripts return into DataError."""
        try:
            yield
        except self._errors.TimeoutError as error:
            got = f"none within {self._timeout:g} s"
            remedy = "Check the server's load, or raise RedisMemories(timeout=...)."
            raised = UnavailableError(f"online: expected an answer from {self.shown}, got {got}. {remedy}")
            raise raised from self._shareable(error)
        except self._errors.ConnectionError as error:
            got = f"an error ({self._redacted(error).rstrip('.')})"
            remedy = "Check that the server runs, and the URL's host, port and password."
            raised = UnavailableError(f"online: expected an answer from {self.shown}, got {got}. {remedy}")
            raise raised from self._shareable(error)
        except self._errors.RedisError as error:
            text = f"{_CODES.get(type(error).__name__, '')} {self._redacted(error)}".strip()
            raise in_words(text, self.shown, self.name) from self._shareable(error)

    def _answers(self, name: str, batch: Sequence[Sequence[Argument]]) -> list[int]:
        """The answers to one batch. Raises the first error among them."""
        answers: list[Any] = []
        for _ in range(_TRIES):
            pipeline = self.client.pipeline(transaction=False)
            for arguments in batch:
                self._script(name)(keys=[self.prefix], args=list(arguments), client=pipeline)
            # Not raised there: the client would put the arguments, and so users' ids, into the error's text.
            answers = pipeline.execute(raise_on_error=False)
            # Sent again if the scripts were flushed meanwhile: a script that has run before changes nothing.
            if not any(isinstance(answer, self._errors.NoScriptError) for answer in answers):
                break
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _script(self, name: str) -> Any:
        if name not in self._scripts:
            self._scripts[name] = self.client.register_script(_source(name))
        return self._scripts[name]

    def _redacted(self, error: Exception) -> str:
        return redact(str(error), addresses=[self._url])

    def _shareable(self, error: Exception) -> Exception | None:
        """The error as a cause; None if its text holds a secret."""
        return error if self._redacted(error) == str(error) else None


@cache
def _source(name: str) -> str:
    folder = files(__package__)
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in (_SHARED, name))


def _shown(url: str) -> str:
    """The URL without secrets, also where it lacks its scheme."""
    return without_secrets(url) if "://" in url else without_secrets(f"redis://{url}").removeprefix("redis://")


def _batches(calls: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(calls)
    while batch := list(islice(remaining, size)):
        yield batch
