"""What to do about a required column that a table lacks: perhaps it goes by another name, or the file has no header."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ID = r"(id|uuid|key|code|no|number)?(token)?"
_OTHER_NAMES = {
    "user_id": re.compile(
        r"(user|customer|client|visitor|member|account|reviewer|person|people|player|shopper|subscriber|reader|profile"
        rf"|candidate|student|patient|household|anonymous|cookie|device|session)s?{_ID}|uid|fullvisitorid"
    ),
    "item_id": re.compile(
        r"(item|product|article|movie|film|book|video|clip|track|song|artist|album|podcast|episode|show|game|app|business"
        r"|restaurant|venue|poi|news|story|post|page|document|doc|content|job|vacancy|offer|listing|recipe|course"
        rf"|stock|sku|ad|advert|hotel|property|parentasin|asin|isbn|ean|gtin|(musicbrainz|spotify)track)s?{_ID}|iid"
    ),
    "timestamp": re.compile(
        r"(?!candidate|update$|play|watch|life|down|up|session)[a-z]*(date|time|timestamp|stamp)(utc|gmt|ms|us|float)?"
        r"|[a-z]+edat|[a-z]+edon|ts|dt|tdat|day"
    ),
    "impression_id": re.compile(r"(impression|request|query|search|slate|list|page|exposure|session|group)s?(view)?id"),
    "label": re.compile(r"(is|was)?(click|clicked|clicks|target|response|reward|converted|purchased|y)"),
    "subject": re.compile(r"(s|subj|head|entity|item|source|start)(id)?(token)?"),
    "relation": re.compile(r"(p|r|rel|relation|predicate|property|edge|link|label)(id)?(token)?"),
    "object": re.compile(r"(o|obj|tail|value|target|end)(id)?(token)?"),
}
"""How others call the columns, as `bare_name`; RecBole's `:token` may follow."""
_CELL = re.compile(r"\s*(-?[0-9][0-9.,:TZ+ -]*|\S+[\t;|]\S.*|\S+::\S.*)\s*")
"""What is no name of a column, but a number, a time, or several cells in one."""
_MAX_NAMED = 3


def bare_name(name: str) -> str:
    """The name of a column in lower case, letters and digits only."""
    return re.sub(r"[\W_]", "", name.casefold())


def remedy_for_missing(name: str, given: Sequence[str]) -> str:
    """What to do where the column of this name is not among the given ones: perhaps it is written otherwise there."""
    near = next((other for other in given if bare_name(other) == bare_name(name)), None)
    if near is not None:
        return f"Rename {near!r} to {name!r}."
    if any(_CELL.fullmatch(other) for other in given):
        return "The first line must hold the names of the columns: add it if the file begins with data."
    if likely := _likely(name, given):
        named = " or ".join(map(repr, likely))
        return f"If {named} holds it, rename it to {name!r}."
    return "Add it, or rename the column that holds it."


def _likely(name: str, given: Sequence[str]) -> list[str]:
    """The given columns that may hold what this one should; none if there are too many to say."""
    names = _OTHER_NAMES.get(name)
    if names is None:
        return []
    likely = [other for other in given if names.fullmatch(bare_name(other))]
    if name == "item_id" and not likely and not _likely("user_id", given):
        # In a table of items it is theirs, in one of events or impressions the row's.
        likely = [other for other in given if bare_name(other) == "id"]
    return likely if len(likely) <= _MAX_NAMED else []
