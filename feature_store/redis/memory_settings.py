"""How events become shared memories and counters: settings that every reader and writer must agree on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from feature_store.signals import FIRST_LIST, RULES_BEFORE, SignalConfig

FORMAT = 3
"""Version of what the server holds: keys, members and scripts."""


@dataclass(frozen=True)
class MemorySettings:
    """The settings that shared memories are written and read with."""

    signals: SignalConfig
    windows: tuple[int, ...]
    """Lengths of the windows of the counters, microseconds."""
    limit: int
    """Events that a memory answers with at most."""

    @property
    def window(self) -> int:
        """The longest window, microseconds."""
        return max(self.windows)

    @property
    def max_held(self) -> int:
        """Events of a user that the server holds at most: more than `limit`, so that some earlier times are covered."""
        return 2 * self.limit

    def to_json(self) -> str:
        """What the server compares: all but the windows, of which it needs the longest only."""
        signals: dict[str, Any] = json.loads(json.dumps(asdict(self.signals)))
        for added in (FIRST_LIST, RULES_BEFORE):
            if all(signals[name] == value for name, value in added.items()):
                # As servers hold them that a bundle of before was published to.
                signals = {name: value for name, value in signals.items() if name not in added}
        return json.dumps({"format": FORMAT, "signals": signals, "limit": self.limit}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, window: int) -> MemorySettings:
        """The settings that a server's memories were written with; `window` is the longest of theirs."""
        settings = json.loads(text)
        # JSON has no tuples.
        signals: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in (RULES_BEFORE | FIRST_LIST | settings["signals"]).items()
        }
        return cls(SignalConfig(**signals), (window,), settings["limit"])
