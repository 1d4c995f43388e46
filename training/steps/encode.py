"""The step `encode`: encodes the items' texts and reads the log."""

from __future__ import annotations

import json

from training.query_split import require_queries
from training.run import Run
from training.tracking.step_run import StepRun


def encode(run: Run, step_run: StepRun) -> None:
    """Encodes every text that the store's cache of vectors lacks, and reports what the store holds.

    Raises DataError if that is too little for a later step.
    """
    training_data = run.training_data
    require_queries(training_data.dataset, training_data.shown, training_data.split)
    facts = {
        "fingerprint": training_data.fingerprint,
        "texts": len(training_data.unit),
        "dim": training_data.unit.shape[1],
    }
    step_run.log_params({f"encoder.{name}": facts[name] for name in ("fingerprint", "dim")})
    step_run.log_metrics({"texts": float(len(training_data.unit))})
    (run.folder("encode") / "texts.json").write_text(json.dumps(facts))
