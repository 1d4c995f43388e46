"""The last step of a run: measure on the test window, save the bundle, write the report, register the model."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.atomic_files import write_whole
from recmem.matching.calibration import Calibration
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.features import PairFeatures
from recmem.serving.bundle import Bundle, BundleConfig, save_bundle
from recmem.serving.model import Model
from training.evaluation.evaluate import END_OF_TIME, Evaluation, evaluate_rankings
from training.evaluation.ledger import WITH_MATCH, WITHOUT_MATCH, Ledger
from training.evaluation.promotion import TestFigures
from training.queries import Queries, queries_between
from training.report.charts import Panel
from training.report.content import Example, ReportContent, Window
from training.report.figure_files import to_png
from training.report.html import render_report
from training.report.plots import curves_figure, importance_figure, lift_figure, slices_figure
from training.run import Run, TrainingResult, load_ranker
from training.tracking.registry import promote, register
from training.tracking.tracker import StepRun, Tracker
from training.training_data import moment, ranking_data

PACKAGES = ("recmem", "torch", "transformers", "lightgbm", "polars", "deltalake", "mlflow")
N_EXAMPLES = 3
N_EXAMPLE_ITEMS = 5
SAMPLE_TEXTS = 32
SAMPLE_QUERIES = 4


def evaluate(run: Run, child: StepRun) -> None:
    """Writes `bundle/`, `ledger.json` and `report.html`, and keeps the figures per query for a later comparison.

    Each appears when it is whole, and an earlier run's ledger and report are taken away first: whatever kills this,
    what is there belongs together.
    """
    choices = json.loads((run.folder("rank") / "choices.json").read_text())
    matcher = run.matcher("final")
    rankers = {name: load_ranker(run, name) for name in (WITHOUT_MATCH, WITH_MATCH)}
    with run.progress.stage("Measuring on the test window", None) as advance:
        evaluation = evaluate_rankings(run.training_data, matcher, rankers, choices["pooling"], run.config, advance)
    _save_figures(run, evaluation)
    told = {name: run.out / name for name in ("report.html", "ledger.json")}
    for path in told.values():
        path.unlink(missing_ok=True)
    bundle = Bundle(_bundle_config(run, choices), run.module("final"), rankers[WITH_MATCH])
    save_bundle(
        bundle, run.out / "bundle", sample_vectors=run.training_data.unit[:SAMPLE_TEXTS], sample_pairs=_sample(run)
    )
    model = Model.load(run.out / "bundle", store=run.store)
    content = _report_content(run, model, rankers[WITH_MATCH].importance(), choices)
    write_whole(told["ledger.json"], evaluation.ledger.to_json())
    write_whole(told["report.html"], render_report(evaluation.ledger, content))
    _log(run, child, evaluation.ledger, content)


def result_of(run: Run, tracker: Tracker) -> TrainingResult:
    """Registers the run's model and says where everything is; promotes it where the ledger says so."""
    ledger = Ledger.from_json((run.out / "ledger.json").read_text())
    registered = register(tracker, run.out / "bundle", ledger, _example_candidates(run))
    promote(tracker, registered, _load_figures(run), generator=np.random.default_rng(0))
    return TrainingResult(run.out, ledger, run.out / "bundle", run.out / "report.html", registered)


def _bundle_config(run: Run, choices: dict[str, Any]) -> BundleConfig:
    dataset = run.training_data.dataset
    return BundleConfig(
        encoder=run.config.encoder,
        fingerprint=run.training_data.fingerprint,
        text_columns=dataset.catalogue.text_columns,
        number_columns=dataset.catalogue.number_columns,
        match=run.match_config,
        memory=run.config.memory,
        retrieval=run.config.retrieval,
        dataset=dataset.config,
        calibration=Calibration(**choices["calibration"]),
        store=str(run.store.path),
        store_versions=run.store.versions(),
        learned_until=run.training_data.split.test_from,
        recmem_version=version("recmem"),
        created=moment(dataset.clock),
    )


def _sample(run: Run) -> PairFeatures:
    """A few pairs of the ranker's windows, for the bundle's self-test."""
    split = run.training_data.split
    _, data = ranking_data(
        run.training_data, run.matcher("final"), split.ranker_from, split.test_from, SAMPLE_QUERIES, run.config
    )
    return data.pairs


def _log(run: Run, child: StepRun, ledger: Ledger, content: ReportContent) -> None:
    for row in ledger.rows:
        child.log_metrics({f"{row.name}.{metric}": figure for metric, figure in row.metrics.items()})
    child.log_metrics({f"lift.{metric}": lift.difference for metric, lift in ledger.lift.items()})
    figures = {
        "lift": lift_figure(ledger),
        "slices": slices_figure(ledger),
        "importance": importance_figure(content.importance, match_features=content.match_features),
        "learning_curves": curves_figure(content.curves),
    }
    for name, figure in figures.items():
        child.log_figure(to_png(figure), f"{name}.png")
    for file in ("ledger.json", "report.html"):
        child.log_artifact(run.out / file)


def _report_content(run: Run, model: Model, importance: dict[str, float], choices: dict[str, Any]) -> ReportContent:
    dataset, split = run.training_data.dataset, run.training_data.split
    losses = json.loads((run.folder("match") / "curve.json").read_text())
    return ReportContent(
        title="recmem: what the match of a text memory adds",
        data={
            "items": len(dataset.catalogue),
            "users": len(dataset.users),
            "events": len(dataset.log),
            "impression rows": len(dataset.impressions),
            "first event": moment(int(dataset.log.times.min()))[:10],
            "last event": moment(int(dataset.log.times.max()))[:10],
            "text columns": ", ".join(dataset.catalogue.text_columns),
        },
        windows=[
            Window("match model", moment(int(dataset.log.times.min())), moment(split.ranker_from), "learns from texts"),
            Window("ranker", moment(split.ranker_from), moment(split.test_from), "fits the ranker, out of sample"),
            Window("test", moment(split.test_from), moment(int(dataset.log.times.max())), "all figures below"),
        ],
        importance=importance,
        match_features=MATCH_FEATURES,
        curves=[
            Panel("Match module", "part of the fit", "loss", losses),
            Panel("Rankers", "boosting round", "NDCG@10, later queries", choices["curves"]),
        ],
        examples=list(example_users(run, model)),
        parameters=_flat(asdict(run.config)),
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        data_digest=run.store.digest(),
        command="recmem train --items ITEMS --events EVENTS --out OUT",
    )


def example_users(run: Run, model: Model) -> Iterator[Example]:
    """Three users of the test period with what they remember, their top items and the reasons."""
    for user in example_user_ids(run):
        memory = model.memory(user)
        items = []
        for item, score in model.recommend([user], k=N_EXAMPLE_ITEMS).select("item_id", "score").iter_rows():
            told = model.explain(user, item)
            reasons = sorted(((slot.title, slot.contribution) for slot in told.slots), key=lambda reason: -reason[1])
            items.append({"item": model.title(item), "score": score, "reasons": [*reasons[:3], ("prior", told.prior)]})
        yield {"user": str(user), "memory": memory["title"].to_list(), "items": items}  # type: ignore[typeddict-item]


def example_user_ids(run: Run) -> list[object]:
    """Users of the test period, evenly spread among those with a memory of middling length."""
    queries = _test_queries(run)
    users, first = np.unique(queries.users, return_index=True)
    sizes = run.training_data.dataset.log.by_user.counts(users, queries.times[first])
    middling = users[np.argsort(np.abs(sizes - np.median(sizes)), kind="stable")][: 20 * N_EXAMPLES]
    chosen = np.sort(middling)[:: max(len(middling) // N_EXAMPLES, 1)][:N_EXAMPLES]
    return run.training_data.dataset.users.gather(chosen).to_list()


def _example_candidates(run: Run) -> pl.DataFrame:
    dataset, queries = run.training_data.dataset, _test_queries(run).spread(3)
    rows = queries.positives.row_index
    return pl.DataFrame(
        {
            "user_id": dataset.users.gather(queries.users[rows]),
            "item_id": dataset.catalogue.ids.gather(queries.positives.values),
            "timestamp": pl.from_epoch(pl.Series(queries.times[rows]), "us").dt.replace_time_zone("UTC"),
        }
    )


def _test_queries(run: Run) -> Queries:
    if run.training_data.shown is not None:
        shown = run.training_data.shown.between(run.training_data.split.test_from, END_OF_TIME)
        return Queries(shown.users, shown.times, shown.candidates)
    dataset = run.training_data.dataset
    return queries_between(dataset.log, run.training_data.split.test_from, END_OF_TIME, cancelled=dataset.cancelled)


def _save_figures(run: Run, evaluation: Evaluation) -> None:
    figures = evaluation.figures
    columns = {"user": figures.users} | dict(figures.metrics)
    pl.DataFrame(columns).write_parquet(run.folder("evaluate") / "figures.parquet")
    (run.folder("evaluate") / "digest.txt").write_text(figures.digest)


def _load_figures(run: Run) -> TestFigures:
    path = run.folder("evaluate") / "figures.parquet"
    if not path.is_file():
        raise DataError(f"out: expected {path} of the step evaluate, got no file. Run the step evaluate again.")
    table = pl.read_parquet(path)
    metrics = {name: table[name].to_numpy() for name in table.columns if name != "user"}
    return TestFigures((run.folder("evaluate") / "digest.txt").read_text(), table["user"].to_numpy(), metrics)


def _flat(settings: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
