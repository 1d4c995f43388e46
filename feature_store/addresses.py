"""Addresses of servers and stores as they may be shown: without user, password and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote

HIDDEN = "***"
"""Replaces a secret, or an address in which the end of the secret cannot be found."""
_PATHS = frozenset({"abfs", "abfss", "az", "dbfs", "file", "gs", "hdfs", "http", "https", "s3", "s3a", "wasb", "wasbs"})
"""Schemes whose path may hold an @ that has nothing to do with a user."""
_CONTAINERS = frozenset({"abfs", "abfss", "wasb", "wasbs"})
"""Schemes of Azure, container@account: what stands before the @ is no user."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_SHORTEST_SECRET = 3
"""Shorter secrets are not searched for: replacing single letters of a text would spell them out."""


def without_secrets(address: str) -> str:
    """The address without user, password and parameters (all that follows a question mark).

    Also where special characters of a password are not percent-encoded, so that no library could parse it; if one then
    cannot tell the host from the password, only the scheme is shown. Paths and names (`models:/name@alias`) stay as
    they are, and so do fragments (`redis://host/0#name`).

    >>> without_secrets("redis://:secret@host:6379/0?password=secret#shop")
    'redis://host:6379/0#shop'
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return re.sub(r"^[^/\\@]*:(?![/\\]).*@", "", address, flags=re.DOTALL)
    before_query = re.split(r"[?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(before_query) :]:
        return f"{scheme}://{HIDDEN}"  # either the password contains ? or #, or a parameter or fragment an @
    user, at, _ = before_query.rpartition("@")
    has_user = bool(at) and _may_be_user(scheme.lower(), user)
    shown = rest[len(user) + 1 :] if has_user else rest
    path, _, query = shown.partition("?")
    fragment = query.partition("#")[2]
    return f"{scheme}://{path}{f'#{fragment}' if fragment else ''}"


def secrets_of(address: str) -> tuple[str, ...]:
    """What `without_secrets` leaves out, in parts and as servers may quote them; longest first."""
    if "://" not in address:
        return ()
    scheme, _, rest = address.partition("://")
    before_query, _, query = rest.partition("?")
    # The name of a user alone is no secret, but a token often stands in its place.
    users = {rest[: rest.rfind("@")], before_query[: before_query.rfind("@")]} if "@" in rest else set()
    parts = {part for user in users if _may_be_user(scheme.lower(), user) for part in (user, *user.split(":", 1))}
    parts |= {value for _, value in parse_qsl(query.partition("#")[0])}
    parts |= {pair.partition("=")[2] for pair in query.partition("#")[0].split("&")}
    parts |= {unquote(part) for part in parts}
    return tuple(sorted((part for part in parts if len(part) >= _SHORTEST_SECRET), key=len, reverse=True))


def redact(text: str, *, addresses: Iterable[str] = (), secrets: Iterable[str] = ()) -> str:
    """The text of an error as it may be shown: without the secrets of the addresses, and without other secrets.

    Every address within the text is shown as by `without_secrets`, whether it is among `addresses` or not.
    """
    for address in addresses:
        text = text.replace(address, without_secrets(address))
        secrets = (*secrets, *secrets_of(address))
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return _ADDRESS.sub(lambda found: without_secrets(found.group()), text)


def cause_without_secrets(
    error: BaseException, *, addresses: Iterable[str] = (), secrets: Iterable[str] = ()
) -> BaseException | None:
    """The error, to raise another one from it; None if it, or what led to it, quotes a secret as `redact` finds them.

    Tracebacks print the texts of all that led to an error.
    """
    known = tuple(addresses)
    hidden = tuple(secrets)
    led: BaseException | None = error
    while led is not None:
        text = str(led)
        if redact(text, addresses=known, secrets=hidden) != text:
            return None
        led = led.__cause__ or led.__context__
    return error


def _may_be_user(scheme: str, user: str) -> bool:
    """Whether what stands before the last @ may be user and password, rather than a name or a part of a path."""
    if scheme in _CONTAINERS and ":" not in user:
        return False
    authority = user.partition("/")[0]
    return authority == user or ":" in authority or "@" in authority or scheme not in _PATHS
