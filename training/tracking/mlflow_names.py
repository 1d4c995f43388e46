"""Names and values as MLflow takes them: it allows few characters, and only so many of them."""

from __future__ import annotations

import re
from hashlib import sha256

from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, MAX_PARAM_VAL_LENGTH, MAX_TAG_VAL_LENGTH

_REFUSED = re.compile(r"[^\w.\- /]")
"""MLflow takes colons too, but not on Windows."""
_NO_FOLDER = ("", ".", "..")
_DIGEST_CHARS = 8


def mlflow_name(name: str) -> str:
    """The name of a parameter or metric as MLflow takes it; what it takes already stays as it is.

    `ndcg@10` becomes `ndcg_at_10`. Other characters that MLflow refuses become `_`, as do parts that it would take for
    those of a path, and what is too long is cut: such a name ends in a digest, so that no two become one.
    """
    readable = name.replace("@", "_at_")
    parts = _REFUSED.sub("_", readable).split("/")
    allowed = "/".join("_" if part in _NO_FOLDER else part for part in parts)
    if allowed == readable and len(allowed) <= MAX_ENTITY_KEY_LENGTH:
        return allowed
    digest = sha256(name.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{allowed[: MAX_ENTITY_KEY_LENGTH - _DIGEST_CHARS - 1]}_{digest}"


def parameter_text(text: str) -> str:
    """The value of a parameter, cut to what MLflow takes (6,000 characters); it ends with its length then."""
    return _cut(text, MAX_PARAM_VAL_LENGTH)


def tag_text(text: str) -> str:
    """The value of a run's tag, cut to what MLflow takes (8,000 characters); it ends with its length then."""
    return _cut(text, MAX_TAG_VAL_LENGTH)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    end = f" ... ({len(text):,} characters)"
    return text[: longest - len(end)] + end
