"""Warnings about columns that a table does not read: a rating that is dropped turns dislikes into likes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from feature_store.warnings.missing_columns import bare_name

_RATINGS = re.compile(
    r"(user|review|star|overall|item|product|implicit)?(rating|score|stars?|weight|preference)s?(value|score)?"
    r"|rate|grade|points|pref|relevance|utility|strength|confidence|overall|feedback|sentiment|opinion|votes?"
)
"""Names of columns of ratings, in lower case, letters and digits only."""
_KINDS = re.compile(
    r"(user)?(event|action|activity|interaction|behaviou?r|feedback)(type|name|kind)"
    r"|events|action|activity|interaction|behaviou?r|type|kind|verb|operation|signal"
)
"""Names of columns of kinds of event, likewise."""
_LABELS = re.compile(
    r"(is|was|has)?(label|target|click|like|dislike|purchase|bought|buy|conversion|convert|positive|interested|thumb"
    r"|reward|recommended|upvote|favou?rite)(d|ed|s)?"
)
"""Names of columns that say whether an event is positive, likewise."""
_MAX_NAMED = 10
_FEATURES = (
    "Numbers and text become features of the ranker with --features; of a date give a number, such as the age in days."
)


def unread_columns(given: Sequence[str], read: Sequence[str], table: str) -> list[str]:
    """What to say about the columns of `given` that are not among `read`, the columns of the table of this name."""
    unread = [name for name in given if name not in read]
    warnings = []
    others = []
    for name in unread:
        meant = next((known for known in read if bare_name(known) == bare_name(name)), None)
        if meant is not None and meant not in given:
            warnings.append(f"{name!r} is not read: the column is called {meant!r}. Rename it to be read.")
        elif table == "events" and _RATINGS.fullmatch(bare_name(name)):
            warnings.append(_rating(name, given))
        elif table == "events" and _KINDS.fullmatch(bare_name(name)):
            warnings.append(_kind(name, given))
        elif table == "events" and _LABELS.fullmatch(bare_name(name)):
            warnings.append(_label(name, given))
        else:
            others.append(name)
    if others:
        named = ", ".join(map(repr, others[:_MAX_NAMED]))
        more = f" and {len(others) - _MAX_NAMED:,} more" if len(others) > _MAX_NAMED else ""
        remedy = f" {_FEATURES}" if table == "impressions" else ""
        warnings.append(
            f"Not read: {named}{more}. The table {table} has no such columns, and recmem does not store them.{remedy}"
        )
    return warnings


def _rating(name: str, given: Sequence[str]) -> str:
    if "value" in given:
        return f"{name!r} is not read: ratings are read from `value`. Put the ratings there if {name!r} holds them."
    consequence = "Without that, every event counts as positive, one of 1 star too"
    if "event" in given:
        remedy = f"To make it count, rename it to `value`, in rows whose `event` is 'rating'. {consequence}"
        return f"{name!r} is not read. {remedy}, unless its `event` is negative."
    return (
        f"{name!r} is not read. To make it count, rename it to `value`: rows without an `event` are judged by it. "
        f"{consequence}."
    )


def _kind(name: str, given: Sequence[str]) -> str:
    if "event" in given:
        return f"{name!r} is not read: kinds of event are read from `event`."
    return (
        f"{name!r} is not read. To make it count, rename it to `event`: common names are known (click, skip, ...), "
        "rating is judged by `value`. Without that, every event counts as positive."
    )


def _label(name: str, given: Sequence[str]) -> str:
    consequence = "every event counts as positive"
    if "event" in given:
        consequence = "its `event` alone decides whether a row is positive"
    return (
        f"{name!r} is not read: {consequence}. If it says which rows are positive, leave the others out, or name their "
        "`event` 'skip'."
    )
