"""The model that the service answers with: follows its alias in MLflow's registry, and keeps observed events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Lock, Thread

import polars as pl

from feature_store import DataError, Receipt
from recmem.server.kept_rows import KeptRows
from recmem.serving.model import Model
from recmem.serving.observed_users import checked_users
from recmem.serving.registry import version_at

MAX_KEPT_EVENTS = 1_000_000
"""Observed events that are kept for later versions of the model; the oldest are dropped first."""
MAX_KEPT_USERS = 1_000_000
"""The same for rows of the users table."""
_LOG = logging.getLogger("recmem")


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model, and where it comes from."""

    model: Model
    name: str
    """Its source: a folder, or the registry's URI of the version."""
    loaded_at: datetime


class CurrentModel:
    """Loads the model and, if its source is an alias, every later version that the alias is given.

    A version is loaded beside the one in use, which answers until then. If it cannot be loaded, the one in use stays,
    and `problem` says why. Used by many threads.
    """

    def __init__(self, source: str, load: Callable[[str], Model]) -> None:
        """`load` gives the model at a folder or URI, and raises if there is none."""
        self.problem: str | None = None
        self.on_load: Callable[[LoadedModel], None] = lambda _: None
        """Called with every later version."""
        self._source = source
        self._load = load
        self._events = KeptRows(MAX_KEPT_EVENTS)
        self._users = KeptRows(MAX_KEPT_USERS)
        # Held while the model changes: an event must not be observed by the old one and missed by the new one.
        self._changing = Lock()
        self._version = version_at(source)
        self.loaded = self._load_version(self._version)
        self._stopped = Event()
        self._follower: Thread | None = None

    def start_following(self, every_s: float) -> None:
        """From now on a thread looks at the alias every so many seconds; a source that is no alias is left alone."""
        if self._version is not None:
            self._follower = Thread(target=self._follow, args=(every_s,), name="recmem-follow", daemon=True)
            self._follower.start()

    def stop_following(self) -> None:
        """Ends that thread, once it has finished a load that it has begun."""
        self._stopped.set()
        if self._follower is not None:
            self._follower.join()

    def observe(self, events: pl.DataFrame) -> Receipt:
        """Adds events to this model and to those that follow it, see `Model.observe`."""
        with self._changing:
            model = self.loaded.model
            read = model.read_events(events)
            receipt = model.observe_read(read)
            # Shared memories keep events themselves.
            if receipt.n_new and model.memories is None:
                # As read: together with the events of other requests, a number would be a time of another unit.
                self._events.add(read.checked.kept)
            return receipt

    def observe_users(self, users: pl.DataFrame) -> Receipt:
        """Adds rows of users to this model and to those that follow it, see `Model.observe_users`."""
        with self._changing:
            model = self.loaded.model
            receipt = model.observe_users(users)
            # Shared memories have events only.
            if receipt.n_new:
                self._users.add(checked_users(users, model.dataset).kept)  # as read, for the same reason
            return receipt

    def follow(self) -> bool:
        """Looks at the alias once and loads its version if that is another one; whether it did."""
        try:
            version = version_at(self._source)
            if version != self._version:
                self._take_over(version)
                return True
        except BaseException as error:  # broad on purpose: even after a panic, the version in use must serve on
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            self.problem = str(error) or type(error).__name__
            _LOG.warning(f"{self._source}: a newer version was not loaded. {self.problem}")
            return False
        self.problem = None
        return False

    def _take_over(self, version: str | None) -> None:
        loaded = self._load_version(version)
        with self._changing:
            self._replay_observed(loaded.model)
            self.loaded = loaded
            self._version = version
        self.problem = None
        self.on_load(loaded)

    def _follow(self, every_s: float) -> None:
        while not self._stopped.wait(every_s):
            self.follow()

    def _load_version(self, version: str | None) -> LoadedModel:
        name = self._source if version is None else version
        return LoadedModel(self._load(name), name, datetime.now(UTC))

    def _replay_observed(self, model: Model) -> None:
        """Gives a new model what was observed, also an older one that the alias goes back to.

        Rows that its store has already are duplicates, which `observe` leaves out.
        """
        for what, kept, observe in (
            ("events", self._events, model.observe),
            ("users", self._users, model.observe_users),
        ):
            # As few calls as can be: each makes a dataset of its own.
            for rows in kept.frames():
                try:
                    observe(rows)
                except DataError as error:  # such as ids of another type
                    _LOG.warning(f"{self._source}: observed {what} were not taken over. {error}")
