"""The times that a caller asks for: one time of any form, and a column of them."""

from __future__ import annotations

import logging
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.timestamps import iso_time, parse_timestamps
from feature_store.warnings.time_warnings import LOGS_BEGIN, time_warnings

TimeLike = datetime | date | str | int | float
_LOG = logging.getLogger("recmem")


def microseconds(time: TimeLike) -> int:
    """The time in microseconds since 1970, UTC. Raises DataError for what is no time; logs one before 1990."""
    refused = DataError(f"timestamp: expected a time, got {time!r}. Give a datetime, ISO 8601 text or epoch seconds.")
    try:
        value: Any = time
        if isinstance(value, np.datetime64):  # polars would hold it as an object
            value = value.astype("datetime64[us]").item()
            if not isinstance(value, datetime):
                raise TypeError("NaT, or a year that Python's datetime does not have")
        times, faults = parse_timestamps(pl.Series("timestamp", [value]))
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise refused from error
    if faults or times[0] is None:
        raise refused
    parsed = int(times.dt.epoch("us")[0])
    if parsed < LOGS_BEGIN:
        read = f"{iso_time(parsed)}, read from {time!r}"
        _LOG.warning(f"timestamp: {read}, lies before 1990. Numbers are read as epoch seconds, or finer by their size.")
    return parsed


def warn_of_number_times(candidates: pl.DataFrame) -> None:
    """Logs what looks wrong about timestamps that are numbers, such as seconds that land in 1970."""
    if "timestamp" in candidates.columns and candidates.schema["timestamp"].is_numeric():
        cells = candidates["timestamp"]
        for warning in time_warnings(cells, parse_timestamps(cells)[0], is_past=False):
            _LOG.warning(f"candidates.{warning}")
