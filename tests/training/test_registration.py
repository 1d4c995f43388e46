"""Which version a folder has registered: the same model with another calibration is another version."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from training.registration import BUNDLE_TAG, CONTENT_TAG, _tag, registered_before, ships_as_registered


class Registry:
    """A client of a registry with one version."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}

    def set_model_version_tag(self, name: str, version: str, tag: str, value: str) -> None:
        assert (name, version) == ("recmem", "3")
        self.tags[tag] = value

    def get_model_version(self, name: str, version: str) -> Any:
        assert (name, version) == ("recmem", "3")
        return SimpleNamespace(tags=self.tags)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What registration reads of a run, whose steps have left a file each."""

    def folder(step: str) -> Path:
        path = tmp_path / "work" / step
        path.mkdir(parents=True, exist_ok=True)
        return path

    for step in ("refit", "evaluate", "calibrate"):
        (folder(step) / "bundle").mkdir()
        (folder(step) / "bundle" / "bundle.json").write_text(step)
    (folder("evaluate") / "ledger.json").write_text("{}")
    summary = {"refitted": True, "learned_until": "2026-01-01", "queries": 3}
    (folder("refit") / "summary.json").write_text(json.dumps(summary))
    monkeypatch.setattr("training.registration.end_of_learning", lambda _: 0)
    monkeypatch.setattr("training.registration.name_of_data", lambda _: "debian")
    return SimpleNamespace(
        folder=folder,
        config=SimpleNamespace(registered_name="recmem"),
        training_data=SimpleNamespace(dataset=SimpleNamespace(log=[])),
        pinned=SimpleNamespace(digest=lambda: "digest"),
    )


def registered(run: Any) -> Registry:
    registry = Registry()
    _tag(run, registry, "3")  # type: ignore[arg-type]
    return registry


def test_a_bundle_with_another_calibration_is_not_the_registered_one(run: Any) -> None:
    registry = registered(run)
    assert registered_before(run, registry) == "3"  # type: ignore[arg-type]
    assert ships_as_registered(run)
    (run.folder("calibrate") / "bundle" / "bundle.json").write_text("another calibration")
    assert registered_before(run, registry) == "3"  # type: ignore[arg-type]
    assert not ships_as_registered(run)
    before = registry.tags[BUNDLE_TAG]
    assert registered(run).tags[BUNDLE_TAG] != before


def test_another_ledger_or_learned_bundle_is_another_model(run: Any) -> None:
    registry = registered(run)
    (run.folder("evaluate") / "ledger.json").write_text('{"ndcg": 1}')
    assert registered_before(run, registry) is None  # type: ignore[arg-type]
    assert registered(run).tags[CONTENT_TAG] != registry.tags[CONTENT_TAG]


def test_a_record_of_before_says_nothing_of_the_bundle_and_is_believed(run: Any) -> None:
    registry = registered(run)
    record = run.folder("register") / "registered.json"
    kept = json.loads(record.read_text())
    record.write_text(json.dumps({name: value for name, value in kept.items() if name != "bundle"}))
    assert registered_before(run, registry) == "3"  # type: ignore[arg-type]
    assert ships_as_registered(run)


def test_a_folder_that_has_registered_nothing_says_so(run: Any) -> None:
    assert registered_before(run, Registry()) is None  # type: ignore[arg-type]
    assert ships_as_registered(run)
