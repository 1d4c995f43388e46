"""The step `tune`: tunes the text encoder on the log, and keeps what it learned only where that pays."""

from __future__ import annotations

from dataclasses import asdict

from feature_store import DataError
from training.fitting.tuning_progress import TuningProgress
from training.run import Run
from training.steps.encoder_tuner import EncoderTuner
from training.tracking.step_run import StepRun
from training.tuned_encoders import TunedEncoders

PROGRESS = "tune_progress"
"""The folder under `<out>/work` in which a tuning keeps its checkpoints until it is done."""


def tune(run: Run, step_run: StepRun) -> None:
    """Leaves the tuned encoder's tensors `base` and `final`, or says why the encoder stays frozen.

    `base` has not seen the ranker's windows, `final` has learned up to the test, as the match modules of these names.

    Raises DataError if the encoder cannot be tuned in the way that was asked for.
    """
    settings = run.config.tuning
    kind = None if run.config.vectors_name else settings.resolved()  # vectors of items have no encoder to tune
    folder = run.folder("tune")
    progress = TuningProgress(run.out / "work" / PROGRESS, step_run.key)
    if kind is None:
        outcome = TunedEncoders(folder, None, None)
        outcome.write({})
    else:
        tuning = settings.tuning(kind)
        try:
            # Not the run's own encoder, which stays frozen and may be in bfloat16.
            encoder = run.load_encoder(dtype="float32")
            tuner = EncoderTuner(run.training_data, run.config, encoder, tuning, progress, run.progress)
            choice, tensors = tuner.run()
        except (ImportError, ValueError) as error:
            raise DataError(str(error)) from error
        outcome = TunedEncoders(folder, tuning, choice)
        outcome.write(tensors)
        figures = {name: value for name, value in asdict(choice).items() if not isinstance(value, str)}
        step_run.log_metrics({f"tuning/{name}": float(value) for name, value in figures.items()})
    progress.clear()
    # Read anew: this run may have looked before the step.
    run.tuned = outcome
    step_run.log_text(run.encoder_sentence + "\n", "encoder.txt")
