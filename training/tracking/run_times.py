"""How long a run has taken so far."""

from __future__ import annotations

from datetime import UTC, datetime

from training.tracking.tracker import Tracker


def seconds_so_far(tracker: Tracker) -> float:
    """Seconds since the parent run was started."""
    started_ms: int = tracker.client.get_run(tracker.parent.run_id).info.start_time
    return datetime.now(UTC).timestamp() - started_ms / 1000
