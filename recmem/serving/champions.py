"""The champion of a registered model in MLflow: the version that is served, and the way back to those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feature_store import DataError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

REGISTERED_NAME = "recmem"
"""Name of the registered model, unless a training names another."""
CHAMPION = "champion"
"""Alias of the version to serve."""
CHALLENGER = "challenger"
"""Alias of the newest version."""
HISTORY_TAG = "champions"
"""Tag of the registered model: the versions that were champion, such as `1,3,4`; the present one is the last."""
BY_HAND_TAG = "changed_by_hand"
"""Tag of a version: what `recmem promote` or `recmem rollback` last did with it."""

_LONGEST_HISTORY = 200
"""Champions that are remembered; of more, the newest."""
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")
"""What MLflow's registries answer for a name, version or alias that they do not have."""


@dataclass(frozen=True)
class Rollback:
    """What `roll_back` did."""

    left: str
    """The version that was champion."""
    back_to: str
    """The version that is champion now."""
    skipped: tuple[str, ...] = ()
    """Champions in between that were deleted since, the newest first."""


def champion_of(client: MlflowClient, name: str) -> str | None:
    """The version that is champion; None if there is none, or no registered model of this name."""
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_registered_model(name).aliases.get(CHAMPION)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise
    return None if version is None else str(version)


def crown(client: MlflowClient, name: str, version: str) -> str | None:
    """Makes the version champion; the champion before it, or None. The registered model keeps the history."""
    before = champion_of(client, name)
    history = _history(client, name)
    # The alias first: if the process ends in between, `_history` adds the champion that the tag lacks.
    client.set_registered_model_alias(name, CHAMPION, version)
    if before != version:
        _keep(client, name, [*history, version])
    return before


def promote_by_hand(client: MlflowClient, name: str, given: str) -> tuple[str, str | None]:
    """Makes a version champion, whatever its verdict was: the version, and the champion before it or None.

    `given` is a version's number, or an alias such as `challenger`. Raises DataError if there is no such version.
    """
    version = _found(client, name, given)
    before = crown(client, name, version)
    if before != version:
        client.set_model_version_tag(name, version, BY_HAND_TAG, f"promoted by hand on {_today()}")
    return version, before


def roll_back(client: MlflowClient, name: str) -> Rollback:
    """Makes the previous champion the champion again. Raises DataError if there is none.

    Champions that were deleted since are skipped. Called twice, it goes back by two.
    """
    if champion_of(client, name) is None:
        raise DataError(
            f"--registered-name: expected a model with a champion, got {name!r}, which has none. "
            "See `recmem versions`, and make one champion: `recmem promote VERSION`."
        )
    history = _history(client, name)
    left = history.pop()
    skipped = []
    # With a deleted one gone, the version before it may be the present one, which was champion twice.
    while history and (history[-1] == left or not _exists(client, name, history[-1])):
        gone = history.pop()
        if gone != left:
            skipped.append(gone)
    if not history:
        deleted = f" but version {', '.join(skipped)}, which was deleted" if skipped else ""
        raise DataError(
            f"--registered-name: expected a champion before version {left} of {name}, got none{deleted}. "
            "See `recmem versions`, and name the one to serve: `recmem promote VERSION`."
        )
    # The tag first: if the process ends in between, `_history` adds the champion that is still there.
    _keep(client, name, history)
    client.set_registered_model_alias(name, CHAMPION, history[-1])
    client.set_model_version_tag(name, left, BY_HAND_TAG, f"rolled back on {_today()}")
    # It may say that this one was rolled back itself, or promoted by hand, before.
    client.set_model_version_tag(name, history[-1], BY_HAND_TAG, f"champion again on {_today()}")
    return Rollback(left, history[-1], tuple(skipped))


def _history(client: MlflowClient, name: str) -> list[str]:
    """All champions in order, the present one last, also if another program has set the alias."""
    kept = client.get_registered_model(name).tags.get(HISTORY_TAG, "")
    history = [version for version in kept.split(",") if version]
    champion = champion_of(client, name)
    if champion is not None and history[-1:] != [champion]:
        history.append(champion)
    return history


def _keep(client: MlflowClient, name: str, history: Sequence[str]) -> None:
    client.set_registered_model_tag(name, HISTORY_TAG, ",".join(history[-_LONGEST_HISTORY:]))


def _found(client: MlflowClient, name: str, given: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        if given.isdecimal():
            return str(client.get_model_version(name, given).version)
        return str(client.get_model_version_by_alias(name, given).version)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        raise DataError(
            f"version: expected a version of {name}, got {given!r}. `recmem versions` lists them."
        ) from error


def _exists(client: MlflowClient, name: str, version: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        found: ModelVersion = client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return False
        raise
    return bool(found.status == "READY")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
