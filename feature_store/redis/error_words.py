"""Error messages for the errors of a Redis server and of our scripts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from feature_store.data_errors import DataError
from feature_store.redis.memory_settings import FORMAT

PUBLISH = "Run `recmem publish` with this model and its store."
_PUBLISH_AGAIN = "Run `recmem publish` again."
_READ_TABLES = "Use a later time, or load the model without `online`."
_OTHER_NAME = "Use another name (redis://host:port/db#name), or replace them (recmem publish --replace)."
_MICROSECONDS_PER_DAY = 86_400_000_000
_MARK = "RECMEM "
"""What errors that our scripts return begin with, for the server may put its own words before it."""

_SERVER_ERRORS = {
    "OOM command not allowed": ("no memory left", "Raise the server's maxmemory, or publish fewer memories."),
    "READONLY": ("a replica, which takes no writes", "Give the address of the primary."),
    "MISCONF": ("a server that cannot write to its disk", "Check the server's disk and its log."),
    "NOREPLICAS": ("too few replicas for a write", "Check the server's replicas."),
    "MASTERDOWN": ("a replica without its primary", "Check the primary, or give its address."),
    "NOPERM": ("no permission", "Allow the user the scripts and the data commands of this name's keys (ACL)."),
    "can't run this command": ("no permission", "Allow the user the data commands of this name's keys (ACL)."),
    "can't access at least one": ("no permission", "Allow the user this name's keys (ACL)."),
    "NOAUTH": ("a question for the password", "Put it into the URL: redis://:password@host:port/db."),
    "WRONGPASS": ("a refused user or password", "Check both in the URL; percent-encode special characters."),
    "DENIED": ("protected mode: it answers its own machine only", "Set a password on the server, or bind its address."),
    "DB index": ("no such database", "Check the number at the end of the URL: redis://host:port/0."),
    "WRONGTYPE": ("keys of another program under this name", "Use another name: redis://host:port/db#name."),
    "MOVED": ("a cluster", "Use a server that is no cluster: those are not supported."),
    "CROSSSLOT": ("a cluster", "Use a server that is no cluster: those are not supported."),
    "CLUSTERDOWN": ("a cluster", "Use a server that is no cluster: those are not supported."),
    "BUSY": ("a server that is busy with a script", "Try again; if it stays so, check the server's load."),
    "NOSCRIPT": ("scripts that were flushed again and again", "Find out who calls SCRIPT FLUSH."),
    "LOADING": ("a server that is still reading its data", "Try again in a while."),
    "unknown command": ("a server without this command", "Use Redis 5 or newer, with scripts allowed."),
}
"""Parts of a server's errors, and for each what one got and what to do."""


class UnavailableError(DataError):
    """The server did not answer in time, could not be reached, or does not hold all of the data."""


class LostDataError(UnavailableError):
    """The server answered, but what was published is not all there: never published, lost, evicted, or older."""


def in_words(text: str, shown: str, name: str) -> DataError:
    """The error that a text stands for: one of our scripts ("RECMEM <what> <detail>"), or of the server itself.

    `shown` is the server's address without secrets, `name` the name of the memories on it.
    """
    before, mark, ours = text.partition(_MARK)
    if mark and before in ("", "ERR "):
        what, _, detail = ours.partition(" ")
        return _script_error(what, detail, shown, name)
    for part, (got, remedy) in _SERVER_ERRORS.items():
        if part in text:
            return DataError(f"online: expected {shown} to carry it out, got {got} ({_first_line(text)}). {remedy}")
    return DataError(f"online: expected an answer from {shown}, got the error {text!r}. Check the server and its log.")


def went_back(shown: str, name: str) -> LostDataError:
    """The error for a state older than one that this process has read."""
    return _lost(f"{shown} under {name!r}", "an older state than this process has read: the server was set back")


def _script_error(what: str, detail: str, shown: str, name: str) -> DataError:
    where = f"{shown} under {name!r}"
    covered = "a time that the shared memories still cover"
    match what:
        case "empty":
            got = "none, or an unfinished publish"
            return LostDataError(f"online: expected memories and counters at {where}, got {got}. {PUBLISH}")
        case "lost":
            return _lost(where, "some of it: the server lost data")
        case "evicted":
            kind, _, key = detail.partition(" ")
            return _lost(where, f"{kind} {key!r} without what was written: the server evicted or lost it")
        case "gone_publish":
            return _lost(where, "none of it: the server lost data while publishing")
        case "other_publish":
            expected = f"no other publish at {where} meanwhile"
            got = "one that began later, or an older state of the server"
            return DataError(f"online: expected {expected}, got {got}. Wait for its end, or publish again.")
        case "settings" if _format_of(detail) != FORMAT:
            return _other_format(where)
        case "format":
            return _other_format(where)
        case "settings":
            expected = "memories with this model's settings"
            got = f"memories with different settings at {where}"
            remedy = PUBLISH
        case "held_settings":
            expected = f"memories with this model's settings under {name!r}"
            got = f"memories with different settings at {shown}"
            remedy = _OTHER_NAME
        case "store":
            expected = f"memories of this model's store at {where}"
            got = "memories of another store"
            remedy = "Check the name in the URL (redis://host:port/db#name) and the store."
        case "held_store":
            expected = f"memories of this store under {name!r}"
            got = f"memories of another store at {shown}"
            remedy = _OTHER_NAME
        case "window":
            expected = "counters over windows as long as this model's"
            got = f"windows of at most {int(detail) / _MICROSECONDS_PER_DAY:.4g} days"
            remedy = PUBLISH
        case "early":
            expected = covered
            got = f"one before {_iso(detail)}"
            remedy = _READ_TABLES
        case "short":
            expected = covered
            got = f"one after which user {detail!r} had more events than are held"
            remedy = _READ_TABLES
        case _:
            expected = f"an answer from {where}"
            got = f"the error {what} {detail!r}"
            remedy = "Check the server and its log."
    return DataError(f"online: expected {expected}, got {got}. {remedy}")


def _lost(where: str, got: str) -> LostDataError:
    return LostDataError(f"online: expected all that was published at {where}, got {got}. {_PUBLISH_AGAIN}")


def _other_format(where: str) -> LostDataError:
    expected = f"memories of this version of recmem at {where}"
    return LostDataError(f"online: expected {expected}, got those of another version. {_PUBLISH_AGAIN}")


def _format_of(settings: str) -> object:
    try:
        stored = json.loads(settings)
    except ValueError:
        return None
    return stored.get("format") if isinstance(stored, dict) else None


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip(".")


def _iso(microseconds: str) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))).isoformat()
