"""A training run from tables to a registered model, step by step; a step that has nothing new to do is not run again.

    ingest -> encode -> match -> rank -> evaluate

Steps hand over through files under `<out>/work`, so that each can be run in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import feature_store
import recmem
import training
from feature_store import DataError, Store
from feature_store.files import read_parquet_table
from feature_store.impressions import CLICK_COLUMNS
from recmem.encoder import TextEncoder
from recmem.match import MatchConfig, MatchModule
from recmem.matcher import MATCH_COLUMNS, Matcher
from recmem.ranker import Ranker
from training.baselines import best_pooling
from training.batches import MatchBatches
from training.calibration import fit_calibration
from training.config import TrainingConfig
from training.ledger import WITH_MATCH, WITHOUT_MATCH, Ledger
from training.match import fit_match
from training.new_items import with_new_items
from training.progress import Progress
from training.ranker import fit_ranker
from training.tracking import StepRun, Tracker, step_key
from training.world import World, build_world, ranking_data

STORE_DIGEST = "store_digest.txt"
STEPS = ("ingest", "encode", "match", "rank", "evaluate")


@dataclass(frozen=True)
class Tables:
    """Files to ingest; none where the store already holds what is needed."""

    items: str | None = None
    events: str | None = None
    impressions: str | None = None


@dataclass(frozen=True)
class TrainingResult:
    """Where a run left what it made."""

    out: Path
    ledger: Ledger
    bundle: Path
    report: Path
    version: str | None
    """Version in the model registry."""


@dataclass(eq=False)
class Run:
    """One run: where it works, on what, and how it tells of it."""

    out: Path
    store: Store
    tables: Tables
    config: TrainingConfig
    progress: Progress

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder, loaded on first use."""
        return TextEncoder.load(self.config.encoder)

    @cached_property
    def world(self) -> World:
        """The store as this run reads it; encodes texts that are not cached."""
        with self.progress.stage("Encoding texts", len(self.store.items())) as advance:
            return build_world(self.store, self.config, encoder=self.encoder, on_text=advance)

    def folder(self, step: str) -> Path:
        """What a step leaves for the ones after it."""
        folder = self.out / "work" / step
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def module(self, name: str) -> MatchModule:
        """The match module that the step `match` left: `base` or `final`."""
        module = MatchModule(self.match_config)
        module.load_state_dict(load_file(self.folder("match") / f"{name}.safetensors"))
        return module.eval()

    def matcher(self, name: str) -> Matcher:
        """The module over the catalogue's texts."""
        return Matcher.of(self.module(name), self.world.unit, self.config.memory)

    @property
    def match_config(self) -> MatchConfig:
        """The shape of the match module."""
        return MatchConfig(dim=self.world.unit.shape[1], n_heads=self.config.n_heads, head_dim=self.config.head_dim)


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
    from training.finish import result_of  # finish reads Run

    run = open_run(Tables(items, events, impressions), out, store, config, progress)
    with Tracker.start(out=run.out) as tracker:
        for step in STEPS:
            run_step(run, step, tracker)
        return result_of(run, tracker)


def open_run(tables: Tables, out: Path, store: str | None, config: TrainingConfig, progress: Progress) -> Run:
    """A run in the folder `out`; `store` defaults to `out`/store and is made where it does not exist."""
    folder = Path(out).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"out: expected a folder that can be written, got {folder} ({error}). Name another.") from error
    return Run(folder, Store.open_or_create(store or folder / "store"), tables, config, progress)


def run_step(run: Run, step: str, tracker: Tracker) -> None:
    """Runs one step as a child run, or takes it from an earlier run with the same key."""
    from training.finish import evaluate  # finish reads Run

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
    facts = {"fingerprint": run.world.fingerprint, "texts": len(run.world.unit), "dim": run.world.unit.shape[1]}
    child.log_params(facts)
    (run.folder("encode") / "texts.json").write_text(json.dumps(facts))


def fit_match_step(run: Run, child: StepRun) -> None:
    """Fits the match module on what lies before the ranker's windows; then goes on to the test's begin with a copy.

    The first scores the ranker's windows, out of sample; the second has seen them too, above all their end, and scores
    what comes after.
    """
    config, world = run.config, run.world
    module = MatchModule(run.match_config, torch.Generator().manual_seed(config.seed))
    folder, curve = run.folder("match"), []
    parts = (("base", world.split.ranker_from, 1.0), ("final", world.split.test_from, config.match.continued))
    for number, (name, until, share) in enumerate(parts):
        batches = MatchBatches(
            world.scene.log_at(until),
            len(world.scene.catalogue),
            until=until,
            memory=config.memory,
            config=config.match.batch,
            seed=config.seed + number,
            prefers_recent=name == "final",
            reads=world.scene.reads,
            recalled=world.scene.recalled,
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
                world.unit,
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
    config, world, folder = run.config, run.world, run.folder("rank")
    with run.progress.stage("Building ranking columns", None) as advance:
        queries, data = ranking_data(
            world,
            run.matcher("base"),
            world.split.ranker_from,
            world.split.test_from,
            config.ranker_queries,
            config,
            advance,
        )
    constant = CLICK_COLUMNS if world.shown is None else ()
    columns = tuple(name for name in data.pairs.values if name not in constant)
    chosen = {WITHOUT_MATCH: tuple(name for name in columns if name not in MATCH_COLUMNS), WITH_MATCH: columns}
    curves = {}
    generator = np.random.default_rng(config.seed)
    fitted_on = with_new_items(data, config.new_item_rate, world.scene.config.counters, generator)
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


def load_ranker(run: Run, name: str) -> Ranker:
    """A ranker that the step `rank` left."""
    return Ranker.from_files(
        {file: (run.folder("rank") / f"{name}.{file}").read_text() for file in ("ranker.txt", "ranker.json")}
    )


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
