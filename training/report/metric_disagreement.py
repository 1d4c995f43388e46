"""Why AUC and NDCG@10 put the rankings into different orders."""

from __future__ import annotations

import math

from training.evaluation.ledger import HEADLINE_METRIC, Ledger, Row
from training.report.labels import metric_label, row_label
from training.report.number_text import figure_text, signed_text

AUC = "auc"
_RECALL = "recall@"


def disagreement_sentences(ledger: Ledger) -> list[str]:
    """What AUC counts that NDCG@10 does not, and where the two differ in this run.

    None if they agree, or one was not measured.
    """
    best_by_auc = _best(ledger, AUC)
    best_by_ndcg = _best(ledger, HEADLINE_METRIC)
    if best_by_auc is None or best_by_ndcg is None:
        return []
    where = _where(ledger, best_by_auc, best_by_ndcg)
    if not where:
        return []
    sentences = [*where, _why(ledger)]
    if ledger.protocol.candidates == "catalogue":
        sentences.append(_beyond_the_retrieved(ledger))
    return sentences


def _where(ledger: Ledger, best_by_auc: Row, best_by_ndcg: Row) -> list[str]:
    ndcg = metric_label(HEADLINE_METRIC)
    sentences = []
    if best_by_auc != best_by_ndcg:
        sentences.append(
            f"The highest AUC is {figure_text(best_by_auc.metrics[AUC])} ({row_label(best_by_auc.name)}), the highest "
            f"{ndcg} is {figure_text(best_by_ndcg.metrics[HEADLINE_METRIC])} ({row_label(best_by_ndcg.name)})."
        )
    if AUC in ledger.lift and ledger.lift[AUC].difference * ledger.lift[HEADLINE_METRIC].difference < 0:
        sentences.append(
            f"The lift is {signed_text(ledger.lift[HEADLINE_METRIC].difference)} in {ndcg} and "
            f"{signed_text(ledger.lift[AUC].difference)} in AUC."
        )
    return sentences


def _why(ledger: Ledger) -> str:
    top = f"{metric_label(HEADLINE_METRIC)} counts the first ten places only, the first ones most"
    if ledger.protocol.candidates == "impressions":
        return f"AUC counts every pair of a clicked and another item alike, wherever the two stand; {top}."
    return (
        "AUC counts every pair of a positive and another item of the catalogue alike: a positive that rises from rank "
        f"900 to 400 adds fifty times as much as one that rises from 11 to 1. {top}."
    )


def _beyond_the_retrieved(ledger: Ledger) -> str:
    depths = [int(name.removeprefix(_RECALL)) for name in ledger.retrieval if name.startswith(_RECALL)]
    if not depths:
        return "Rankers order only the retrieved candidates; a single signal orders the whole catalogue."
    missed = 1 - ledger.retrieval[f"{_RECALL}{max(depths)}"]
    return (
        f"Rankers order only the retrieved candidates: for AUC, the {missed:.0%} of positives that were not retrieved "
        "are below them, in random order. A single signal, such as the match score, orders the whole catalogue."
    )


def _best(ledger: Ledger, metric: str) -> Row | None:
    measured = [row for row in ledger.rows if not math.isnan(row.metrics.get(metric, math.nan))]
    return max(measured, key=lambda row: row.metrics[metric], default=None)
