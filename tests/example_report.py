"""A small ledger and report content, for the tests of the report."""

from __future__ import annotations

from training.evaluation.ledger import Ledger, Lift, Protocol, Row, Slice
from training.report.charts import Panel
from training.report.content import DataUse, Example, ReportContent, ScoreParts, Window

NASTY = "Žluťoučký 🎉 <script>alert('x')</script> & {{ 7*7 }} $x_1$"


def ledger(without: float = 0.095, with_: float = 0.249, ci95: tuple[float, float] = (0.14, 0.17)) -> Ledger:
    lift = Lift(without, with_, round(with_ - without, 6), ci95)
    figures = {"recall@10": 0.3, "mrr": 0.2, "auc": 0.7}
    return Ledger(
        protocol=Protocol(1386, 3934, "2025-08-09", "catalogue", test_digest="9f2c1e77aa01bb34"),
        rows=(
            Row("covisitation", {"ndcg@10": 0.142, **figures}),
            Row("ranker_without_match", {"ndcg@10": without, **figures}),
            Row("ranker_with_match", {"ndcg@10": with_, **figures}),
        ),
        lift={"ndcg@10": lift, "mrr": Lift(0.2, 0.2, 0.0, (-0.01, 0.01))},
        slices={
            "memory 1-5": Slice(204, 0.1, 0.25, (0.1, 0.2)),
            "item old": Slice(90, 0.3, 0.2, (-0.15, -0.05)),
            "one user": Slice(1, 0.3, 0.2, (-1.0, 1.0)),
            "cold items": Slice(265, 0.0, 0.54, (0.49, 0.61), "recall@10", 277),
        },
        retrieval={"recall@200": 0.712},
    )


def content(text: str = "libssl-dev") -> ReportContent:
    ranking: ScoreParts = {"of": "ranking score", "total": 2.41, "parts": [(text, 2.5), ("constant", -0.09)]}
    match: ScoreParts = {
        "of": "raw match score",
        "total": 0.38,
        "parts": [(f"builds on {text}", 0.41), ("base", -0.03)],
    }
    example: Example = {"user": text, "memory": [text] * 20, "items": [{"item": text, "scores": [ranking, match]}]}
    return ReportContent(
        title=text,
        data={"Users": 2995, "Texts": text},
        windows=[Window("test", "2025-08-09", "2026-01-01", text)],
        importance={text: 3.0, "match_score": 1.0},
        text_features={"match_score"},
        curves=[Panel(text, "epoch", "loss", {text: [3.0, 2.0], "held out": [3.0, 2.5]})],
        examples=[example, {"user": "newcomer", "memory": [], "items": []}],
        data_use=[DataUse("events", f"48,343 {text}", f"7 {text}"), DataUse("items", "3,934")],
        encoder=f"The text encoder stayed frozen: {text}.",
        config=f'seed = 0\nnote = "{text}"',
        versions={"recmem": "0.1.0"},
        data_digest="ab12cd34",
        command="recmem train --items items.parquet",
    )
