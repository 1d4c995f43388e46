"""What the calls of one search must have in common: figures of other data or settings cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

import feature_store
import recmem
import training
from feature_store import DataError
from feature_store.settings import shown
from training.configuration.step_settings import settings_of
from training.run import Run
from training.settings_search.study import DATABASE
from training.tracking.step_key import code_digest

FIGURE_STEPS = ("ingest", "encode", "tune", "match", "rank")
"""The steps on the way to a trial's figure. Settings that only later steps read may change."""


def identity_of(run: Run) -> dict[str, Any]:
    """The settings, tables and code of a run, as JSON has them; call it before the step `ingest`.

    A table at a URL is left out, as its content may change unseen: the store tells whether it brought anything new.
    """
    names = {name for step in FIGURE_STEPS for name in settings_of(step)}
    at_urls = {str(name) for name, table in run.tables.given().items() if isinstance(table, str) and "://" in table}
    identity = {
        "settings": {name: attrgetter(name)(run.config) for name in sorted(names)},
        "tables": {name: digest for name, digest in run.tables.digests().items() if name not in at_urls},
        "code": "".join(code_digest(package) for package in (feature_store, recmem, training)),
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


def require_same(run: Run, noted: Mapping[str, Any], now: Mapping[str, Any], *, store: str) -> None:
    """Raises DataError if a search was begun with other data or settings; `noted` is empty for a new one.

    `store` is the digest of the store that the run would read.
    """
    found = list(_differences(noted, now, store)) if noted else []
    if found:
        raise DataError(
            f"out: expected a folder whose search was of the same data and settings, got {run.out}, where "
            f"{'; '.join(found)}. Choose another folder, or remove {DATABASE} there to begin anew."
        )


def _differences(noted: Mapping[str, Any], now: Mapping[str, Any], store: str) -> Iterator[str]:
    for name, value in now["settings"].items():
        before = noted["settings"].get(name)
        if value != before:
            yield f"{name} was {shown(before)} and is {shown(value)}"
    tables = noted["tables"]
    # Without tables the store alone tells.
    changed = [name for name, digest in now["tables"].items() if tables.get(name, digest) != digest]
    added = [name for name in now["tables"] if name not in tables]
    if changed:
        yield f"{' and '.join(changed)} had other rows"
    if added and tables:
        yield f"{' and '.join(added)} was not given"
    if store != noted["store"] and not changed and not added:
        yield "the store had other rows"
    if noted["code"] != now["code"]:
        yield "another version of recmem measured the trials"
