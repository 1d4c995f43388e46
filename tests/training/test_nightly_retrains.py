"""A model's life over a growing log: retrained every night, one bad version refused, one rolled back, always served.

Six nights here; `make month` runs thirty of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import numpy as np
import polars as pl
import pytest
from mlflow import MlflowClient

import nightly_log
import recmem
from command_line import DONE, Outcome
from conftest import IsolatedMlflow
from recmem.serving.champions import champion_of
from training.evaluation.verdict import Verdict
from training.pipeline import run_training
from training.progress import Silent
from training.run import TrainingResult

NIGHTS = int(os.environ.get("RECMEM_NIGHTS", "6"))
BAD_EVERY = 10
BAD_FROM = 3
"""The third night, and every tenth after it, somebody trains with hardly any candidates."""
ROLLED_BACK_AFTER = 5
"""After this night people complain, and the version of the night is taken back."""
ALIAS = "models:/shop@champion"
SERVE_EVERY_S = 0.3


class Serving:
    """A process's serving by alias: it loads the champion anew when the alias has moved, and answers all the time."""

    def __init__(self, client: MlflowClient, store: Path) -> None:
        self.versions: list[str] = []
        """The versions that have answered, each once in a row."""
        self.n_answers = 0
        self.failures: list[Exception] = []
        self._client = client
        self._store = store
        self._stop = Event()
        self._model: recmem.Model | None = None

    @contextmanager
    def running(self) -> Iterator[Serving]:
        thread = Thread(target=self._serve)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def wait_for(self, version: str) -> None:
        """Returns once the version answers."""
        for _ in range(300):
            if self.versions[-1:] == [version] or self.failures:
                return
            time.sleep(0.1)

    def _serve(self) -> None:
        while not self._stop.wait(SERVE_EVERY_S):
            try:
                self._answer()
            except Exception as error:  # collected, so that the test shows it
                self.failures.append(error)
                return

    def _answer(self) -> None:
        version = champion_of(self._client, "shop")
        if version is None:
            return
        if self._model is None or self.versions[-1] != version:
            self._model = recmem.load(ALIAS, store=self._store)
            self.versions.append(version)
        best = self._model.recommend([f"reader-{self.n_answers % nightly_log.USERS:02d}"], k=5)
        assert len(best) == 5
        assert np.isfinite(best["score"].to_numpy()).all()
        self.n_answers += 1


def retrain(out: Path, night: int) -> TrainingResult:
    is_bad = night % BAD_EVERY == BAD_FROM
    return run_training(
        items=nightly_log.items() if night == 1 else None,
        events=nightly_log.events_of(nightly_log.FIRST_DAYS + night),
        impressions=None,
        out=out,
        store=None,
        config=nightly_log.settings(candidates=2 if is_bad else 100, name="shop"),
        progress=Silent(),
    )


def against(verdict: Verdict) -> str | None:
    return None if verdict.champion is None else verdict.champion.version


@pytest.mark.timeout(60 * NIGHTS)
def test_a_month_of_nightly_retrains(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(isolated_mlflow.tracking_uri)
    out = tmp_path / "run"
    nights = []
    champion: str | None = None
    served = []
    with Serving(client, out / "store").running() as serving:
        for night in range(1, NIGHTS + 1):
            result = retrain(out, night)
            verdict = result.verdict
            nights.append((result.version, verdict.promotes, against(verdict)))
            # Only a bad night's version is worse; all others are compared with the champion of the day.
            assert against(verdict) == champion
            if verdict.promotes:
                champion = result.version
                served.append(champion)
                serving.wait_for(str(champion))
            if night == ROLLED_BACK_AFTER:
                back = Outcome("rollback", "--registered-name", "shop")
                assert (back.code, "is the champion again instead of version 5." in back.out) == (DONE, True)
                champion = "4"
                served.append(champion)
            assert champion_of(client, "shop") == champion
            serving.wait_for(str(champion))
    assert serving.failures == []
    assert serving.n_answers >= NIGHTS
    assert serving.versions == served
    assert nights[:6] == [
        ("1", True, None),
        ("2", True, "1"),
        ("3", False, "2"),
        ("4", True, "2"),
        ("5", True, "4"),
        ("6", True, "4"),  # compared with version 4, to which people had rolled back
    ]
    bad = [number for number in range(1, NIGHTS + 1) if number % BAD_EVERY == BAD_FROM]
    assert [nights[number - 1][1] for number in bad] == [False] * len(bad)
    shown = Outcome("versions", "--registered-name", "shop").out
    rows = {line.split()[0]: " ".join(line.split()) for line in shown.splitlines() if line.strip()[:1].isdecimal()}
    assert len(rows) == NIGHTS
    assert "promoted: first champion" in rows["1"]
    assert "refused: worse than version 2 (overall -0." in rows["3"]
    assert "rolled back on 20" in rows["5"]
    assert "than version 4 (" in rows["6"]
    if NIGHTS == 6:
        assert served == ["1", "2", "4", "5", "4", "6"]


def test_verdicts_compare_models_on_queries_that_neither_has_learned_from(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path
) -> None:
    """Yesterday's champion ships with what it learned from most of today's test period: its measured model is asked."""
    first = retrain(tmp_path / "run", 1)
    second = retrain(tmp_path / "run", 2)
    comparison = second.verdict.comparison
    assert comparison is not None
    shipped = recmem.load(f"models:/shop/{first.version}", store=tmp_path / "run" / "store")
    test_from = pl.Series([comparison.after]).str.to_datetime(time_zone="UTC").dt.epoch("us")[0]
    assert shipped.bundle.config.learned_until > test_from
    assert comparison.bundle == "measured"
    assert comparison.champion_learned_until < comparison.challenger_learned_until == comparison.after
    assert (comparison.queries, comparison.users) == (second.ledger.protocol.queries, second.ledger.protocol.users)
