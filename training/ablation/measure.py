"""Measures the variants of an ablation, each in a step that is not repeated while its inputs are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import polars as pl

import feature_store
import recmem
import training
from training.ablation.figures import VariantPairs, metric_of, variant_figures, variant_pairs
from training.ablation.variant import FOLDER, Variant
from training.configuration.step_settings import step_parameters
from training.evaluation.ablation import PARTS
from training.evaluation.metrics import mean_over_queries
from training.queries import Queries
from training.run import Run
from training.tracking.step_key import outputs_digest, step_key
from training.tracking.tracker import Tracker

FIGURES = "figures.parquet"
QUERIES = "queries.parquet"
"""The reference leaves the queries of the ranker's windows, which all variants share."""
_STEP = "figures"


class StepOf(Protocol):
    """Runs a step of a run by its name, as `training.pipeline.run_step`."""

    def __call__(self, run: Run, step: str, tracker: Tracker, *, prefix: str) -> None:
        """`prefix` is put before the name of its run in MLflow."""


class Measure:
    """Measures variants. The reference comes first: its queries are those of all, its pairs those of some."""

    def __init__(self, run: Run, reference: Variant, tracker: Tracker, step_of: StepOf) -> None:
        self._run = run
        self._reference = reference.run_within(run)
        self._tracker = tracker
        self._step_of = step_of
        self._pairs: VariantPairs | None = None
        """Those of the reference, which are large, until a variant comes that has others."""

    def figures(self, variant: Variant) -> pl.DataFrame:
        """The figures per query of a variant, see `variant_figures`."""
        run = variant.run_within(self._run)
        for step in variant.own_steps(self._run):
            self._step_of(run, step, self._tracker, prefix=f"{FOLDER} {variant.name} ")
        if not variant.retrains:
            owner = self._reference if variant.match_of is None else variant.match_of.run_within(self._run)
            run.shared["match"] = owner.folder("match")
        folder = run.folder(_STEP)
        is_reference = run.out == self._reference.out
        key = self._key(run, is_reference=is_reference)
        with self._tracker.step(f"{FOLDER} {variant.name}", key, folder) as step_run:
            if not step_run.reused:
                shares = is_reference or (not variant.retrains and variant.match_of is None)
                pairs = self._pairs_of(run, is_reference=is_reference, shares=shares)
                figures = variant_figures(run, pairs)
                figures.write_parquet(folder / FIGURES)
                if is_reference:
                    pairs.windows.to_frame().write_parquet(folder / QUERIES)
                step_run.log_metrics(_means(figures, metric_of(run)))
        return pl.read_parquet(folder / FIGURES)

    def _pairs_of(self, run: Run, *, is_reference: bool, shares: bool) -> VariantPairs:
        """A variant's pairs; `shares` says that its match module, and so its pairs, are the reference's."""
        if shares and self._pairs is not None:
            return self._pairs
        self._pairs = None
        windows = None if is_reference else Queries.from_frame(pl.read_parquet(self._queries))
        pairs = variant_pairs(run, windows)
        if shares:
            self._pairs = pairs
        return pairs

    @property
    def _queries(self) -> Path:
        return self._reference.folder(_STEP) / QUERIES

    def _key(self, run: Run, *, is_reference: bool) -> str:
        inputs = {step: outputs_digest([run.folder(step)]) for step in ("encode", "tune", "match")}
        inputs["store"] = run.pinned.digest()
        if not is_reference:
            inputs["queries"] = outputs_digest([self._queries])
        parameters = step_parameters(run.config, "rank") | step_parameters(run.config, "evaluate")
        return step_key(FOLDER, inputs, parameters, (feature_store, recmem, training))


def _means(figures: pl.DataFrame, metric: str) -> dict[str, float]:
    return {f"{metric}/{part}": mean_over_queries(figures.filter(part=part)["figure"].to_numpy()) for part in PARTS}
