from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import small_training
from feature_store.point_in_time.covisitation import Covisitation
from recmem.serving.bundle import load_bundle
from recmem.serving.model_store import read_dataset
from training.config import TrainingConfig
from training.fitting.fit_match import MatchTrainingConfig
from training.progress import Silent
from training.queries import queries_of
from training.run import Run, member_file, open_run
from training.splits import SplitConfig
from training.steps.ingest import ingest
from training.steps.match import CURVE_POINTS, LOSS_CURVES, _item_item_models, _means_of_runs, match, read_loss_curves
from training.tables import Tables
from training.tracking.tracker import Tracker


def test_long_curves_are_thinned_to_means_of_consecutive_steps() -> None:
    assert _means_of_runs([]) == []
    assert _means_of_runs([3.0, 1.0]) == [3.0, 1.0]
    losses = [float(step) for step in range(2 * CURVE_POINTS + 1)]
    thinned = _means_of_runs(losses)
    assert thinned[:2] == [0.5, 2.5]
    assert thinned[-1] == losses[-1]
    assert len(thinned) == CURVE_POINTS + 1


def test_both_fits_leave_a_loss_curve_that_falls() -> None:
    curves = read_loss_curves(small_training.trained() / "run" / "work" / "match")
    assert list(curves) == ["base", "final"]
    assert curves["base"][-1] < curves["base"][0]


def test_curves_are_read_from_the_steps_folder(tmp_path: Path) -> None:
    (tmp_path / LOSS_CURVES).write_text(json.dumps({"base": [2.0], "final": [1.0]}))
    assert read_loss_curves(tmp_path) == {"base": [2.0], "final": [1.0]}


def with_two_members(tmp_path: Path) -> Run:
    """A run on the store of the small training, whose step `match` was run with two members."""
    config = TrainingConfig(members=2, match=MatchTrainingConfig(min_steps=20, max_steps=20))
    store = str(small_training.trained() / "run" / "store")
    run = open_run(Tables(), tmp_path, store, config, Silent())
    with Tracker.start(out=tmp_path) as tracker, tracker.step("match", "key", []) as step_run:
        match(run, step_run)
    return run


def test_every_member_of_both_fits_is_left_no_two_are_alike_and_the_module_has_their_heads(tmp_path: Path) -> None:
    run = with_two_members(tmp_path)
    folder = run.folder("match")
    names = [member_file(fit, member) for fit in ("base", "final") for member in range(2)]
    assert sorted(path.name for path in folder.glob("*.safetensors")) == sorted(names)
    for fit in ("base", "final"):
        first, second = (load_file(folder / member_file(fit, member))["query"] for member in range(2))
        assert not torch.allclose(first, second, atol=1e-3)
        module = run.module("base" if fit == "base" else "final")
        assert module.config.n_heads == 2 * run.config.n_heads
        assert module.query.equal(torch.cat([first, second]))


def test_bundle_has_the_module_of_the_step() -> None:
    run = small_training.trained() / "run"
    shipped = load_bundle(run / "measured_bundle")
    assert load_bundle(run / "bundle").config.match == shipped.config.match
    member = load_file(run / "work" / "match" / member_file("final", 0))
    assert all(weights.equal(member[name]) for name, weights in shipped.module.state_dict().items())


def test_fewer_than_one_member_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^members: expected 1 to 16, got 0"):
        TrainingConfig(members=0)
    with pytest.raises(ValueError, match=r"^tree_members: expected 1 to 100, got 0"):
        TrainingConfig(tree_members=0)


def test_the_item_item_models_that_later_steps_read_are_fitted_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = with_two_members(tmp_path).training_data
    monkeypatch.setattr(Covisitation, "fit", None)  # a call, to fit what is not fitted yet, would fail
    queries = queries_of(data.dataset, data.split.ranker_from, data.split.test_until)
    periods = data.dataset.timeline.periods_of(queries.times)
    assert len(periods) > 1
    for period in periods:
        assert data.dataset.timeline.at(period).ease.nnz


def test_the_current_models_are_left_for_whoever_loads_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, events = small_training.write_tables(tmp_path / "tables")
    tables = Tables(items=str(items), events=str(events))
    run = open_run(
        tables, tmp_path / "run", None, TrainingConfig(match=MatchTrainingConfig(min_steps=1, max_steps=1)), Silent()
    )
    with Tracker.start(out=tmp_path / "run") as tracker, tracker.step("match", "key", []) as step_run:
        ingest(run, step_run)
        match(run, step_run)
    kept = list(Path(run.store.path).glob("derived/*/item_item-*"))
    assert len(kept) == 1  # earlier ones would push out what is read most
    # A bundle that was trained on the same tables.
    config = load_bundle(small_training.trained() / "run" / "bundle").config
    monkeypatch.setattr(Covisitation, "fit", None)
    dataset = read_dataset(run.store, config)
    assert dataset.timeline.at(dataset.timeline.periods_of(np.array([dataset.clock]))[0]).ease.nnz


def test_an_earlier_fold_fits_no_current_models(tmp_path: Path) -> None:
    store = str(small_training.trained() / "run" / "store")
    config = TrainingConfig(split=SplitConfig(ranker_from=0.4, test_from=0.6, test_until=0.8))
    data = open_run(Tables(), tmp_path, store, config, Silent()).training_data
    assert data.dataset.clock > data.split.test_until
    now = data.dataset.timeline.periods_of(np.array([data.dataset.clock]))[0]
    for fit in _item_item_models(data):
        fit()
    assert now not in data.dataset.timeline._fitted
    assert data.dataset.timeline.cache is None
