"""The bundle that ships: complete with its reference, which has no id, and the calibration that was decided on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import small_training
from changed_bundles import sign_files
from feature_store import DataError
from recmem.matching.calibration import Calibration
from recmem.serving.bundle import copy_completed, load_bundle
from recmem.serving.manifest import REFERENCE
from training.evaluation.ledger import HEADLINE_METRIC, Ledger
from training.steps.calibrate import SCALE, scale_warnings


def run_folder() -> Path:
    return small_training.trained() / "run"


def test_shipped_bundle_has_the_reference_of_its_test_queries() -> None:
    bundle = load_bundle(run_folder() / "bundle")
    reference = bundle.reference
    ledger = Ledger.from_json((run_folder() / "ledger.json").read_text())
    assert reference is not None
    assert (reference.asked, reference.queries) == ("catalogue", ledger.protocol.queries)
    assert reference.since >= ledger.protocol.test_from
    assert set(bundle.ranker.features) <= set(reference.figures)
    assert {"match_score", "score", "text_length", "memory_size"} <= set(reference.figures)
    assert reference.outcomes is not None
    figures = next(row for row in ledger.rows if row.name == ledger.ships).metrics
    assert abs(reference.outcomes.ndcg - figures[HEADLINE_METRIC]) < 1e-3
    low, high = reference.outcomes.ndcg_ci95
    assert low <= reference.outcomes.ndcg <= high
    assert reference.categories["event"].names == ("depends",)


def test_match_scores_of_the_reference_are_the_calibrated_raw_scores() -> None:
    bundle = load_bundle(run_folder() / "bundle")
    assert bundle.reference is not None
    raw = np.array([bundle.reference.figures["match_raw"].quantile(0.5)], np.float32)
    median = bundle.reference.figures["match_score"].quantile(0.5)
    assert abs(bundle.config.calibration.probability(raw)[0] - median) < 1e-4


def test_the_reference_holds_no_id() -> None:
    text = (run_folder() / "bundle" / REFERENCE).read_text()
    assert len(text) < 200_000
    ids = pl.concat([small_training.items()["item_id"], small_training.events()["user_id"].unique()])
    assert [value for value in ids if value in text] == []


def test_a_match_score_that_does_not_vary_is_warned_of(tmp_path: Path) -> None:
    class RunIn:
        def folder(self, step: str) -> Path:
            assert step == "calibrate"
            return tmp_path

    def warnings_of(slope: float) -> tuple[str, ...]:
        (tmp_path / SCALE).write_text(json.dumps({"calibration": {"slope": slope, "intercept": -1.0}}))
        return scale_warnings(RunIn())  # type: ignore[arg-type]

    assert warnings_of(0.3) == ()
    (warning,) = warnings_of(0.0)
    assert warning.startswith("match_score: the same for all candidates")


def test_without_a_champion_the_scale_is_the_fitted_one() -> None:
    scale = json.loads((run_folder() / "work" / "calibrate" / SCALE).read_text())
    fitted = load_bundle(run_folder() / "work" / "refit" / "bundle").config.calibration
    assert scale["kind"] == "fitted"
    assert load_bundle(run_folder() / "bundle").config.calibration == fitted


def test_a_completed_copy_differs_by_calibration_and_reference_alone(tmp_path: Path) -> None:
    source = run_folder() / "work" / "refit" / "bundle"
    before = load_bundle(source)
    shipped = load_bundle(run_folder() / "bundle")
    copy_completed(source, tmp_path / "bundle", Calibration(2.0, -1.0), shipped.reference)
    after = load_bundle(tmp_path / "bundle")
    assert before.reference is None
    assert after.reference == shipped.reference
    assert after.config == replace(before.config, calibration=Calibration(2.0, -1.0))
    copy_completed(tmp_path / "bundle", tmp_path / "other", Calibration(2.0, -1.0), None)
    assert load_bundle(tmp_path / "other").reference is None


def test_a_changed_reference_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(run_folder() / "bundle", folder)
    text = (folder / REFERENCE).read_text()
    (folder / REFERENCE).write_text(text.replace('"rows":', '"rose":', 1))
    with pytest.raises(DataError, match=r"expected an unmodified reference\.json"):
        load_bundle(folder)
    sign_files(folder)
    with pytest.raises(DataError, match=r"bundle\.reference.*: expected the keys of Reference"):
        load_bundle(folder)
    (folder / REFERENCE).unlink()
    with pytest.raises(DataError, match=r"expected the file reference\.json, got none"):
        load_bundle(folder)
