"""A training run from tables to a registered model, step by step; a step that has nothing new to do is not run again.

    ingest -> encode -> match -> rank -> evaluate

Steps hand over through files under `<out>/work`, so that each can be run in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import feature_store
import recmem
import training
from feature_store.table_files import read_parquet_table
from recmem.matching.match_module import MatchModule
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.feature_table import IMPRESSION_FEATURES
from training.config import TrainingConfig
from training.evaluation.baselines import best_pooling
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH
from training.fitting.fit_calibration import fit_calibration
from training.fitting.fit_match import fit_match
from training.fitting.fit_ranker import fit_ranker
from training.fitting.match_batches import MatchBatches
from training.fitting.new_items import with_new_items
from training.progress import Progress
from training.run import Run, Tables, TrainingResult, open_run
from training.run_outputs import evaluate, result_of
from training.tracking.tracker import StepRun, Tracker, step_key
from training.training_data import ranking_data

STORE_DIGEST = "store_digest.txt"
STEPS = ("ingest", "encode", "match", "rank", "evaluate")


def run_training(
    *,
    items: str | None,
    events: str | None,
    impressions: str | None,
    out: Path,
    store: str | None,
    config: TrainingConfig,
    progress: Progress,
) -> TrainingResult:
    """All steps, tracked as one parent run with a child run a step.

    Raises DataError when the tables cannot be used, with what to mend.
    """
    run = open_run(Tables(items, events, impressions), out, store, config, progress)
    with Tracker.start(out=run.out) as tracker:
        for step in STEPS:
            run_step(run, step, tracker)
        return result_of(run, tracker)


def run_step(run: Run, step: str, tracker: Tracker) -> None:
    """Runs one step as a child run, or takes it from an earlier run with the same key."""
    work: dict[str, Callable[[Run, StepRun], None]] = {
        "ingest": ingest,
        "encode": encode,
        "match": fit_match_step,
        "rank": fit_rankers,
        "evaluate": evaluate,
    }
    results = (run.out / "bundle", run.out / "ledger.json", run.out / "report.html") if step == "evaluate" else ()
    with tracker.step(step, _key(run, step), (run.folder(step), *results)) as child:
        if not child.reused:
            child.log_params(_parameters(run.config, step))
            work[step](run, child)


def ingest(run: Run, child: StepRun) -> None:
    """Appends the tables that were given; what the store already has counts as known."""
    receipts = []
    for name in ("items", "events", "impressions"):
        path = getattr(run.tables, name)
        if path is not None:
            receipt = getattr(run.store, f"append_{name}")(read_parquet_table(path, table=name))
            receipts.append(str(receipt))
            child.log_metrics({f"{name}_new": receipt.n_new, f"{name}_rejected": receipt.n_rejected})
    (run.folder("ingest") / "receipts.txt").write_text("\n".join(receipts) + "\n")
    (run.folder("ingest") / STORE_DIGEST).write_text(run.store.digest())
    child.log_dataset(str(run.store.path), run.store.versions(), run.store.digest())


def encode(run: Run, child: StepRun) -> None:
    """Encodes every text that the store's cache lacks."""
    facts = {
        "fingerprint": run.training_data.fingerprint,
        "texts": len(run.training_data.unit),
        "dim": run.training_data.unit.shape[1],
    }
    child.log_params(facts)
    (run.folder("encode") / "texts.json").write_text(json.dumps(facts))


def fit_match_step(run: Run, child: StepRun) -> None:
    """Fits the match module on what lies before the ranker's windows; then goes on to the test's begin with a copy.

    The first scores the ranker's windows, out of sample; the second has seen them too, above all their end, and scores
    what comes after.
    """
    config, training_data = run.config, run.training_data
    module = MatchModule(run.match_config, torch.Generator().manual_seed(config.seed))
    folder, curve = run.folder("match"), []
    parts = (
        ("base", training_data.split.ranker_from, 1.0),
        ("final", training_data.split.test_from, config.match.continued),
    )
    for number, (name, until, share) in enumerate(parts):
        batches = MatchBatches(
            training_data.dataset.log_at(until),
            len(training_data.dataset.catalogue),
            until=until,
            memory=config.memory,
            config=config.match.batch,
            seed=config.seed + number,
            prefers_recent=name == "final",
            reads=training_data.dataset.reads,
            cancelled=training_data.dataset.cancelled,
        )
        steps = max(round(config.match.steps(batches.n_examples) * share), 1) if batches.n_examples else 0
        losses: list[float] = []
        with run.progress.stage(f"Learning the match ({name})", steps) as advance:

            def on_step(
                _: int, loss: float, losses: list[float] = losses, advance: Callable[[int], None] = advance
            ) -> None:
                losses.append(loss)
                advance(1)

            fit_match(
                module,
                training_data.unit,
                batches,
                steps=steps,
                config=config.match,
                generator=torch.Generator().manual_seed(config.seed + number),
                on_step=on_step,
            )
        save_file(module.state_dict(), folder / f"{name}.safetensors")
        points = _thinned(losses)
        child.log_curve(f"match_loss_{name}", points)
        curve.append(points)
    (folder / "curve.json").write_text(json.dumps(dict(zip(("base", "final"), curve, strict=True))))


def fit_rankers(run: Run, child: StepRun) -> None:
    """Fits the ranker with and without the match columns on the same pairs; chooses the untrained pooling."""
    config, training_data, folder = run.config, run.training_data, run.folder("rank")
    with run.progress.stage("Building ranking columns", None) as advance:
        queries, data = ranking_data(
            training_data,
            run.matcher("base"),
            training_data.split.ranker_from,
            training_data.split.test_from,
            config.ranker_queries,
            config,
            advance,
        )
    constant = IMPRESSION_FEATURES if training_data.shown is None else ()
    columns = tuple(name for name in data.pairs.values if name not in constant)
    chosen = {WITHOUT_MATCH: tuple(name for name in columns if name not in MATCH_FEATURES), WITH_MATCH: columns}
    curves = {}
    generator = np.random.default_rng(config.seed)
    fitted_on = with_new_items(data, config.new_item_rate, training_data.dataset.config.counters, generator)
    with run.progress.stage("Fitting the rankers", 2) as advance:
        for name, kept in chosen.items():
            fitted = fit_ranker(fitted_on, kept, config.ranker, config.seed)
            curves[name] = fitted.curve
            child.log_curve(f"ndcg10_{name}", fitted.curve)
            for file, text in fitted.ranker.to_files().items():
                (folder / f"{name}.{file}").write_text(text)
            advance(1)
    calibration = fit_calibration(data.pairs.values["match_raw"], data.labels)
    choices = {
        "pooling": best_pooling(data.pairs.values, data.labels, data.pairs.candidates),
        "calibration": asdict(calibration),
        "queries": len(queries),
        "curves": curves,
    }
    (folder / "choices.json").write_text(json.dumps(choices))


def _key(run: Run, step: str) -> str:
    """Digest of what the step reads: the tables' versions, its parameters, the steps before it, and the code."""
    if step == "ingest":
        inputs = {name: _file_digest(path) for name, path in asdict(run.tables).items() if path is not None}
        inputs |= {"path": run.store.path, "store": _changed_since_ingest(run)}
    else:
        inputs = {"store": run.store.digest()}
    for earlier in STEPS[1 : STEPS.index(step)]:
        inputs[earlier] = "".join(_file_digest(path) for path in sorted(run.folder(earlier).iterdir()))
    return step_key(step, inputs, _parameters(run.config, step), (feature_store, recmem, training))


def _changed_since_ingest(run: Run) -> str:
    """Empty where the store is new or as the last ingest of this run left it; else what it holds now."""
    left = run.folder("ingest") / STORE_DIGEST
    as_left = run.store.digest() == left.read_text() if left.is_file() else not len(run.store.items())
    return "" if as_left else run.store.digest()


def _parameters(config: TrainingConfig, step: str) -> dict[str, object]:
    """The settings that a step depends on."""
    parts = {
        "ingest": (),
        "encode": ("encoder",),
        "match": ("encoder", "signals", "memory", "split", "match", "n_heads", "head_dim", "seed"),
    }
    everything = asdict(config)
    return {name: everything[name] for name in parts.get(step, tuple(everything))}


def _file_digest(path: Path | str) -> str:
    file = Path(path)
    if not file.is_file():
        return f"{path}"
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _thinned(losses: list[float], points: int = 60) -> list[float]:
    """The losses as at most `points` means of consecutive steps."""
    width = max(len(losses) // points, 1)
    return [sum(losses[at : at + width]) / len(losses[at : at + width]) for at in range(0, len(losses), width)]
