"""What a training run is called in MLflow: the name of its data, and the day on which it began."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow.utils.name_utils import _GENERATOR_NOUNS, _GENERATOR_PREDICATES

from feature_store.object_store import is_remote, local_path

FALLBACK = "recmem"
"""The name of data whose place has only generic names."""

_NAMING_TABLES = ("events", "impressions", "items")
"""The tables by whose files the data are named, the first that was given as one."""
_GENERIC_NAMES = ("store", "data", "tables")
"""Names of folders that do not tell which data they hold; the folder around them may."""
_DATE = re.compile(r"([-_. ]\d+)+$")
"""At the end of a file's name: the next night it is another."""


def run_name(data: str) -> str:
    """The name of a run that begins now, such as `debian_dependencies-2026-11-28` (UTC)."""
    return f"{data}-{datetime.now(UTC).date().isoformat()}"


def data_name(tables: Mapping[Any, object], store: str, out: Path) -> str:
    """What the data of a run are called: retrains on the same data should have the same name.

    A store of its own names them, `shop` for `s3://bucket/shop/store`. Else it is the file of the events (or
    impressions, or items): `clicks` for `logs/clicks.csv`, and its folder, `shop`, for `shop/events.parquet`. Frames
    are called like the folder `out`. `tables` are the paths or frames that were given, by name.
    """
    if store != str(out / "store"):
        return _last_descriptive(_parts(store)) or FALLBACK
    for table in _NAMING_TABLES:
        if isinstance(path := tables.get(table), str):
            *folders, file = _parts(path)
            stem = _DATE.sub("", file.partition(".")[0])
            return _last_descriptive([*folders, "" if stem == table else stem]) or FALLBACK
    return _last_descriptive(_parts(str(out))) or FALLBACK


def is_generated(name: str) -> bool:
    """Whether MLflow has made the name up, as for a run of `mlflow run` without `--run-name`: `bold-ant-512`."""
    words = name.split("-")
    return (
        len(words) == 3
        and words[0] in {word.lower() for word in _GENERATOR_PREDICATES}
        and words[1] in {word.lower() for word in _GENERATOR_NOUNS}
        and words[2].isdecimal()
    )


def _parts(place: str) -> list[str]:
    """The folders of a path or URL, and its name; a bucket counts as a folder."""
    if is_remote(place):
        url = urlsplit(place)
        path = Path(url.netloc.rpartition("@")[2], url.path.lstrip("/"))
    else:
        # The folder that a relative path starts from may be the one that tells.
        path = local_path(place).absolute()
    return [part for part in path.parts if part != path.anchor]


def _last_descriptive(folders: Sequence[str]) -> str:
    return next((folder for folder in reversed(folders) if _is_descriptive(folder)), "")


def _is_descriptive(folder: str) -> bool:
    """Whether it is more than a date, a number or a word for any data."""
    return folder.lower() not in _GENERIC_NAMES and any(letter.isalpha() for letter in folder)
