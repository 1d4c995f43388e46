"""Numbers and times as reports write them."""

from __future__ import annotations

import math
from datetime import datetime

from training.evaluation.intervals import UNKNOWN_INTERVAL
from training.evaluation.ledger import Interval
from training.fitting.position_effects import PositionEffect

_MINUS = "\N{MINUS SIGN}"
_ABSENT = "\N{EN DASH}"


def figure_text(value: float) -> str:
    """A metric: three digits, or a dash if it is undefined."""
    return _ABSENT if math.isnan(value) else f"{value:.3f}"


def signed_text(value: float, digits: int = 3) -> str:
    """A difference or a contribution, with its sign."""
    return _ABSENT if math.isnan(value) else f"{value:+.{digits}f}".replace("-", _MINUS)


def interval_text(ends: Interval, digits: int = 3) -> str:
    """An interval of a difference; in words if it is unknown."""
    if ends == UNKNOWN_INTERVAL:
        return "too few users"
    low, high = ends
    return f"{signed_text(low, digits)} to {signed_text(high, digits)}"


def fact_text(value: str | int | float) -> str:
    """A fact about the data: whole numbers with separators of thousands."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if is_count else str(value)


def time_text(iso: str) -> str:
    """A time in ISO 8601 without the T: `2025-08-09 00:00:00 UTC`."""
    return iso.replace("T", " ").replace("+00:00", " UTC")


def minute_text(iso: str) -> str:
    """A time in ISO 8601 to the minute, as a date alone at midnight: `2025-08-09`, `2025-08-09 12:30 UTC`."""
    time = datetime.fromisoformat(iso)
    if time.time() == datetime.min.time():
        return f"{time:%Y-%m-%d}"
    zone = "" if time.tzinfo is None else f" {time.tzname()}"
    return f"{time:%Y-%m-%d %H:%M}{zone}"


def day_text(iso: str) -> str:
    """The date of a time in ISO 8601: `2025-08-09`."""
    return iso.partition("T")[0]


def positions_text(effect: PositionEffect) -> str:
    """The positions that count as one: `3`, `5 to 9`, or `unknown`."""
    if effect.first is None:
        return "unknown"
    return str(effect.first) if effect.first == effect.last else f"{effect.first} to {effect.last}"


def duration_text(seconds: float) -> str:
    """A duration in its two largest units: `7 s`, `4 min 12 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
