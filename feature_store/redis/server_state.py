"""A server's own report: whether it evicts keys, and which run of the server it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerState:
    """Parts of the answer to INFO; empty where the server does not report it, as some managed ones do not."""

    policy: str = ""
    """maxmemory-policy: what the server does where its memory is full."""
    max_memory: int = 0
    """Bytes from which on that applies; 0 for no bound."""
    run: str = ""
    """Another one after each start of the server, and on each replica."""

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> ServerState:
        """The state in an answer to INFO."""
        return cls(
            policy=str(info.get("maxmemory_policy", "")),
            max_memory=int(info.get("maxmemory", 0)),
            run=str(info.get("run_id", "")),
        )

    def warnings(self) -> tuple[str, ...]:
        """Sentences about settings with which the server will lose data.

        Policies `volatile-...` evict keys that expire, and only the keys of audits do.
        """
        if not self.policy.startswith("allkeys") or not self.max_memory:
            return ()
        bound = f"maxmemory {self.max_memory / 2**20:,.0f} MiB, maxmemory-policy {self.policy}"
        return (
            f"online: expected a server that keeps what it is given, got one that may evict it ({bound}). Answers that "
            "need evicted data are refused until the next publish. Set maxmemory-policy noeviction.",
        )

    def warnings_since(self, run: str | None) -> tuple[str, ...]:
        """As `warnings`, and one if the server was started anew since the publish, which was in the run `run`."""
        if not run or not self.run or run == self.run:
            return self.warnings()
        restarted = (
            "online: expected the server to run since the last publish, got one that was restarted or replaced since. "
            "It may have lost the last events before that. Run `recmem publish` once these are in the store."
        )
        return (*self.warnings(), restarted)
