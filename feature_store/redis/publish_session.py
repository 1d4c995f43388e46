"""One publish on a server, from its beginning to its end: what it writes counts only if all of it arrived.

The session has a random token, and numbers its scripts. The server keeps both, and each script checks that those before
it are there. So a server that was restarted, flushed, or set back to a snapshot in the middle refuses the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from uuid import uuid4

from feature_store.redis.error_words import LostDataError
from feature_store.redis.memory_settings import MemorySettings
from feature_store.redis.server import Argument, Server

Progress = Callable[[int], None]
_IDS_PER_CALL = 1000
_MOST_BEGINNINGS = 3
_LOST = (
    "online: data that the server held had been lost or evicted, so everything was published anew from the tables. "
    "Events that processes observed and the store lacks are gone: append them to the store."
)
_OTHER_FORMAT = (
    "online: the server held memories of another version of recmem, which were replaced. "
    "Load models with this version everywhere."
)


class PublishSession:
    """A publish that has begun. Another one that begins later takes over, and this one is refused from then on."""

    def __init__(self, server: Server, token: str) -> None:
        self.server = server
        self.token = token
        self.n_steps = 0
        """Scripts that were sent."""
        self.warnings: tuple[str, ...] = ()
        """What was found at the beginning, in sentences."""

    @classmethod
    def begin(
        cls, server: Server, settings: MemorySettings, horizon: int, *, store: str, expire_s: int | None
    ) -> PublishSession:
        """Begins a publish, which lets the server answer only what both the old and the new state can answer.

        Where data was lost, everything is removed first. `expire_s`: seconds after which all keys expire. Raises
        DataError if the name holds memories with other settings, or of another store.
        """
        session = cls(server, uuid4().hex)
        rest: tuple[Argument, ...] = (settings.to_json(), store, settings.window, horizon, expire_s or "")
        is_empty = 0
        for _ in range(_MOST_BEGINNINGS):
            found = server.call("begin_publish", [session.token, *rest, is_empty]).decode()
            if found == "begun":
                return session
            n_deleted = server.delete_all(forgotten=False)
            if found == "lost" or (found == "new" and n_deleted):
                session.warnings = (_LOST,)
            elif found == "format":
                session.warnings = (_OTHER_FORMAT,)
            is_empty = 1
        raise LostDataError(
            "online: expected a server that keeps what is written, got one that loses it. Check its log and its memory."
        )

    def run(self, name: str, arguments: Sequence[Argument]) -> None:
        """Runs one script of the publish."""
        self.server.call(name, self._numbered(arguments))

    def run_each(self, name: str, calls: Iterable[Sequence[Argument]], on_progress: Progress | None = None) -> int:
        """Runs a script of the publish once per list of arguments; returns the sum of its answers."""
        return self.server.call_each(name, map(self._numbered, calls), on_progress)

    def check_all(self) -> None:
        """Raises LostDataError if anything is missing of any user or item by now."""
        for name in ("users", "items"):
            calls = ([self.token, name, *ids] for ids in _parts(self.server.fields(name)))
            self.server.call_each("find_lost", calls)

    def _numbered(self, arguments: Sequence[Argument]) -> list[Argument]:
        self.n_steps += 1
        return [self.token, self.n_steps, *arguments]


def _parts(ids: Iterator[bytes]) -> Iterator[list[bytes]]:
    while part := list(islice(ids, _IDS_PER_CALL)):
        yield part
