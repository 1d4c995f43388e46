"""Whether a server has gone back to an older state: what a process has once read or written must not disappear."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, order=True)
class Stamp:
    """The state of shared memories that an answer was given from: later states of one server compare greater."""

    since: int
    """When the publish finished that they are from, microseconds on the server's clock."""
    token: str
    """The random name of that publish."""
    seq: int
    """Number of changes."""

    @classmethod
    def parse(cls, text: bytes) -> Stamp:
        """The stamp as scripts return it."""
        since, token, seq = text.decode().split(" ")
        return cls(int(since), token, int(seq))


class SeenStates:
    """The newest state that this process has seen; thread-safe.

    A server that was restored from a snapshot, or replaced by a replica that lagged behind, answers with an older
    state. That shows here if this process has seen a newer one, unless others have made more changes since than were
    lost. A process that has only just started cannot see it.
    """

    def __init__(self) -> None:
        self._newest: Stamp | None = None
        self._went_back: set[str] = set()
        """Tokens of publishes whose later changes were lost: only another publish mends that."""
        self._lock = Lock()

    @property
    def newest(self) -> Stamp | None:
        """The newest state that was seen until now. Take it before a request, so that the answer cannot be older."""
        return self._newest

    def went_back(self, answered: Stamp, before: Stamp | None) -> bool:
        """Takes note of an answer; whether it is from an older state than `before`, or a later one of such a state."""
        with self._lock:
            if before is not None and answered < before:
                self._went_back.add(answered.token)
            if self._newest is None or answered > self._newest:
                self._newest = answered
            return answered.token in self._went_back
