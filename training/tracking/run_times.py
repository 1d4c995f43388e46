"""How long a run has taken so far, and which of its steps were reused."""

from __future__ import annotations

from datetime import UTC, datetime

from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from training.tracking.tracker import REUSED_FROM_TAG, STEP_TAG, Tracker

_MAX_STEPS = 1000


def seconds_so_far(tracker: Tracker) -> float:
    """Seconds since the parent run was started."""
    started_ms: int = tracker.client.get_run(tracker.parent.run_id).info.start_time
    return datetime.now(UTC).timestamp() - started_ms / 1000


def reused_steps(tracker: Tracker) -> tuple[str, ...]:
    """The names of the steps that this run has taken over from an earlier one, in the order in which they came."""
    children = tracker.client.search_runs(
        [tracker.experiment_id],
        f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{tracker.parent.run_id}'",
        max_results=_MAX_STEPS,
        order_by=["attributes.start_time ASC"],
    )
    return tuple(run.data.tags[STEP_TAG] for run in children if REUSED_FROM_TAG in run.data.tags)
