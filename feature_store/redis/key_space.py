"""The keys of one name on a server: those of another name are never among them, whatever the two names are."""

from __future__ import annotations

from collections.abc import Iterator

from feature_store.data_errors import DataError

DEFAULT_NAME = "recmem"
_MOST_CHARACTERS = 100
_SINGLE_KEYS = ("dropped", "items", "ids", "users", "kept", "dead", "forgotten_users")
"""Keys beside `meta` that are not of one user or item; shared_functions.lua describes them."""
_FORMER_KEYS = ("forgotten",)
"""Keys of format 2 that are no longer written."""
_KEY_FAMILIES = "uixw"
"""Keys of one user or item begin with one of these letters and a colon."""
FORGOTTEN = "forgotten_users"
"""The key of the forgotten users, which outlives everything but `RedisMemories.clear`."""


def split_url(url: str) -> tuple[str, str]:
    """The server's address, and the name behind `#`, by default "recmem".

    Raises DataError for a name with characters that cannot be printed, or with an @: then the # is part of a password.
    """
    address, _, name = url.partition("#")
    if "@" in name:
        got = "an @ after the #"
        remedy = "Percent-encode special characters of the password (# is %23); a name has no @."
        raise DataError(f"online: expected redis://host:port/db#name, got {got}. {remedy}")
    if not name.isprintable() or len(name) > _MOST_CHARACTERS:
        expected = f"a name of at most {_MOST_CHARACTERS} printable characters after the #"
        raise DataError(f"online: expected {expected}, got {name[:_MOST_CHARACTERS]!r}. Choose another name.")
    return address, name or DEFAULT_NAME


def prefix_of(name: str) -> str:
    """What all keys of the name begin with, before a colon. Without one of its own, no other name's keys begin so."""
    return name.replace("%", "%25").replace(":", "%3A")


def single_keys(prefix: str, *, forgotten: bool) -> Iterator[str]:
    """All keys that are not of one user or item, `meta` first; with or without that of the forgotten users."""
    for name in ("meta", *_SINGLE_KEYS, *_FORMER_KEYS):
        if forgotten or name != FORGOTTEN:
            yield f"{prefix}:{name}"


def patterns(prefix: str, families: str = _KEY_FAMILIES) -> Iterator[str]:
    """Redis patterns for the keys of users and items; each letter of `families` is one kind of them."""
    for family in families:
        yield f"{_literal(prefix)}:{family}:*"


def _literal(text: str) -> str:
    """The text as a Redis pattern that matches only itself."""
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in text)
