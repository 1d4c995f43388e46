"""Which settings a step reads: what it really reads in a training, and that its key changes with nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import small_training
from conftest import IsolatedMlflow
from recorded_config import recorded
from training.config import TrainingConfig
from training.configuration.all_settings import all_settings
from training.configuration.effective import effective_config
from training.configuration.step_settings import STEP_SETTINGS, settings_of
from training.pipeline import STEPS, step_key_of
from training.progress import Silent
from training.run import Run, open_run
from training.tables import Tables
from training.tracking.tracker import Tracker

OTHERS = {
    "encoder.pooling": "cls",
    "encoder.text_prefix": "query: ",
    "vectors_name": "clip",
    "signals.rating_events": ["stars"],
    "signals.positive_from": 3,
    "signals.negative_events": ["abandoned"],
    "signals.neutral_events": ["shown"],
    "signals.positive_events": ["installed"],
    "signals.common_names": False,
    "signals.name_list": 1,
    "signals.unnamed": "neutral",
    "features": ["ctr_7d"],
    "event_weights": ["click=0.2"],
    "ranker.position_debiasing": True,
    "ranker.position_bias_regularization": 0.1,
    "users.features": ["plan"],
    "users.interests": "hobbies",
    "knowledge.facts": False,
    "knowledge.columns": ["section"],
    "knowledge.steps": 1,
    "knowledge.language": "de",
    "promote": "never",
    "registered_name": "another",
    "language": "de",
    "match.impressions": 1.0,
    "tuning.kind": "last",
    "tuning.averages": [0.3],
    "tuning.learning_rate": 1e-5,
    "tuning.chunk_tokens": 9,
    "covisitation.half_lives": [1, 2],
    "retrieval.search": "faiss",
    "ranker.smoothing": 5,
    "ranker.leave_out": ["ease"],
    "ablate": True,
    "refit": False,
    "retrieval.exclude_seen": False,
    "split.test_from": 0.8,
    "split.test_until": 0.95,
}
"""Other values of settings that cannot be one more, or half."""
OF_THE_LOG = (
    *("encoder.", "vectors_name", "signals.", "split.", "covisitation.", "features", "event_weights", "users."),
    *("knowledge", "memory.knowledge", "memory.not_clicked"),
    "ranker.position_debiasing",  # whether impressions need positions
)
"""Settings of what all steps read before they begin: the log, its texts, its split, item-item models, own features,
weights of events, users, facts, memory slots of facts and impressions."""
UNREAD_HERE = {
    # The second fits, which a tuned encoder that is not kept does not come to, and a checkpoint after 50 steps.
    # Nor does it learn from impressions.
    "tune": {
        *("match.continued", "match.batch.half_life", "match.impressions", "match.impression_queries"),
        *("tuning.carried", "tuning.save_every"),
    },
    "match": {"match.impression_queries"},  # with impressions
    "rank": {"retrieval.search"},  # for large catalogues
    # Until the number of rounds is known; the features are those of the ranker that is fitted anew. No impressions.
    "refit": {"match.impression_queries", "ranker.rounds", "ranker.validation_share", "ranker.leave_out"},
    "calibrate": {"retrieval.search", "registered_name"},  # likewise; there is no champion yet
    # There is no champion yet.
    "compare": {"test_queries", "retrieval.exclude_seen", "registered_name"},
}
"""Settings of a step's key that this training does not come to."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with the outputs of all steps."""
    from shutil import copytree

    return copytree(small_training.trained(), tmp_path_factory.mktemp("finished") / "copy") / "run"


def run_in(folder: Path, config: TrainingConfig) -> Run:
    run = open_run(Tables(), folder, None, TrainingConfig(), Silent())
    run.config = config  # unchecked: own features would be refused in a store without impressions
    return run


def other(name: str) -> TrainingConfig:
    """The defaults, but for another value of one setting."""
    defaults = TrainingConfig()
    if name == "encoder.name":
        return replace(defaults, encoder=replace(defaults.encoder, name="another"))
    default = all_settings()[name].field.default
    if name in OTHERS:
        value = OTHERS[name]
    elif isinstance(default, bool):
        value = not default
    else:
        value = default + 1 if isinstance(default, int) else default / 2
    return effective_config({name: value})


def keys(folder: Path, config: TrainingConfig) -> dict[str, str]:
    run = run_in(folder, config)
    run.__dict__["encoder_fingerprint"] = "the same"  # what the encoder's files give is tested in test_run.py
    return {step: step_key_of(run, step) for step in STEPS}


def test_a_changed_setting_changes_the_keys_of_exactly_the_steps_that_read_it(finished: Path) -> None:
    before = keys(finished, TrainingConfig())
    assert STEP_SETTINGS.keys() == STEPS.keys()
    for name in all_settings():
        after = keys(finished, other(name))
        changed = {step for step in STEPS if after[step] != before[step]}
        readers = {step for step in STEPS if name in settings_of(step)}
        assert changed == readers, name
        assert "report" in readers


def test_settings_of_the_ranker_leave_the_match_module_as_it_is() -> None:
    assert {step for step in STEPS if "ranker.leaves" in settings_of(step)} == {"rank", "refit", "report"}
    assert {step for step in STEPS if "split.windows" in settings_of(step)} == {
        "rank",
        "evaluate",
        "refit",
        "calibrate",
        "report",
    }
    assert {step for step in STEPS if "promote" in settings_of(step)} == {"compare", "report"}
    assert {step for step in STEPS if "tuning.pull" in settings_of(step)} == {"tune", "report"}
    assert {step for step in STEPS if "folds" in settings_of(step)} == {"report"}


def test_another_split_is_checked_for_queries_before_the_match_module_is_fitted() -> None:
    for name in ("split.ranker_from", "split.test_from", "split.test_until", "signals.positive_events"):
        assert name in settings_of("encode")


def test_slots_of_facts_are_encoded_with_the_log_so_no_step_hands_them_on() -> None:
    readers = {step for step in STEPS if "memory.knowledge" in settings_of(step)}
    assert readers == set(STEPS) - {"ingest", "encode"}


def reads_of(step: str, run: Run, tracker: Tracker) -> set[str]:
    """Runs a step, and gives the settings that it has read.

    The log is read before, as all steps read it: what it follows from counts as read where the step looks at it.
    """
    reads: set[str] = set()
    if step not in ("ingest", "encode"):
        data = run.training_data
        dataset = replace(data.dataset, config=recorded(data.dataset.config, reads))
        run.training_data = replace(data, dataset=dataset, split=recorded(data.split, reads, "split."))
    run.config = recorded(run.config, reads)
    with tracker.step(step, f"recorded {step}", [run.out / "nothing"]) as step_run:
        STEPS[step](run, step_run)
    follow = {
        "refresh_every": "split.windows",
        "split.refresh": "split.windows",
        "refresh_origin": "split.ranker_from",
        "candidate_features": "features",
        "user_features": "users.features",
        "interests": "users.interests",
        "repeats": "retrieval.exclude_seen",
        "fact_slots": "memory.knowledge",
        "not_clicked_slots": "memory.not_clicked",
        "knowledge": "knowledge.steps",
    }
    return {follow.get(name, name) for name in reads if not name.startswith(("counters", "has_impressions"))}


@pytest.mark.timeout(600)
def test_a_step_reads_the_settings_of_its_key_and_no_others(finished: Path, isolated_mlflow: IsolatedMlflow) -> None:
    config = effective_config(
        {"tuning": {"kind": "last", "max_steps": 2, "averages": [1]}, "memory": {"retrieved": 1, "retrieved_from": 9}}
    )
    with Tracker.start(finished) as tracker:
        for step in STEPS:
            reads = reads_of(step, run_in(finished, config), tracker)
            own = set(settings_of(step))
            # `encode` reads the log for its texts only.
            unknown = {name for name in reads - own if step != "encode" or not name.startswith(OF_THE_LOG)}
            assert unknown == set(), step
            unread = {name for name in own - reads if step == "ingest" or not name.startswith(OF_THE_LOG)}
            assert unread == UNREAD_HERE.get(step, set()), step
