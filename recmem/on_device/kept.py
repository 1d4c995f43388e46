"""What is made of an object for a device: made once, and kept as long as the object lives."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import torch

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values by object and device. Objects are compared by identity; they are never changed in place.

    A value must not refer to its object, which would then live for ever.
    """

    def __init__(self) -> None:
        self._values: WeakKeyDictionary[K, dict[torch.device, V]] = WeakKeyDictionary()
        self._lock = Lock()

    def of(self, key: K, device: torch.device, make: Callable[[], V]) -> V:
        """The value, made on the first call."""
        with self._lock:
            made = self._values.setdefault(key, {})
        if device not in made:
            # Two threads may both make it: the first one kept is used by all.
            made.setdefault(device, make())
        return made[device]

    def __len__(self) -> int:
        return len(self._values)
