"""The report's glossary: its terms, and the features that it names."""

from __future__ import annotations

from training.evaluation.ledger import Protocol
from training.report.content import ReportContent, most_important

TERMS = {
    "query": "A user at a time, whose candidates are ranked; with impressions, one impression.",
    "candidate": "An item that is ranked for a query.",
    "positive": "An item that should be ranked first: one that the user interacts with at the query's time for the "
    "first time, or a clicked item of an impression.",
    "lift": "A metric of the ranker with text features minus that of the same ranker refitted without them, on the "
    "same queries.",
    "95% interval": "The range of a lift under a paired bootstrap: users are drawn with replacement 2,000 times, and "
    "the interval spans the middle 95% of the resulting lifts. Above zero, chance does not explain the lift.",
    "NDCG@10": "How near the top the positives are: the sum of 1 / log2(1 + rank) over the positives among the first "
    "ten, divided by the best possible sum. From 0 to 1.",
    "Recall@10": "Share of the positives among the first ten. From 0 to 1. Recall@k of the retrieval is the "
    "share among its first k candidates, before any ranking.",
    "AUC": "The chance that a positive ranks above another candidate. 0.5 is a random order.",
    "cold item": "An item without any event before the test period.",
    "young item": "An item whose first event was less than a twelfth of the log's span before the query.",
    "memory": "The texts of the items of a user's newest events before the query. Each event is a slot.",
    "match score": "How well a candidate's text fits the user's memory, computed by the trained match module. The "
    "ranker reads it as the feature match_raw.",
    "base score": "The part of a match score that no memory slot contributes: the prior, which the candidate's text "
    "has for any user, and the null slot, which takes the attention that no memory slot earns.",
    "text similarity": "Cosine similarity of the encoder's vectors of the candidate's text and of the texts in the "
    "memory, pooled over the memory. Nothing in it is trained on this data.",
    "co-visitation": "How strongly items go together in the log: because the same users interact with both, or because "
    "one follows the other.",
    "ranker": "A linear blend of z-scored features, and LightGBM trees fitted on what the blend does not explain.",
    "ranking score": "The ranker's output, which orders the candidates of one query. It cannot be compared between "
    "queries.",
    "z-score": "A feature minus its mean over the query's candidates, divided by their standard deviation.",
    "importance": "The mean of two shares: a feature's share of the gain of all splits in the trees, and its share of "
    "the blend's absolute weights.",
}
"""Term -> meaning, where it is the same in every report."""

MRR_OF_CATALOGUE = "The reciprocal rank of the first positive, 1 / rank, averaged over queries."
MRR_OF_IMPRESSIONS = (
    "The mean of 1 / rank over the clicked items of an impression, averaged over impressions, as in MIND."
)


def glossary_terms(protocol: Protocol) -> dict[str, str]:
    """The terms of a report in alphabetical order, with their meanings."""
    mrr = MRR_OF_IMPRESSIONS if protocol.candidates == "impressions" else MRR_OF_CATALOGUE
    terms = TERMS | {"MRR": mrr}
    return {term: terms[term] for term in sorted(terms, key=str.lower)}


def glossary_features(content: ReportContent) -> dict[str, str]:
    """The features that the report names and whose meaning is known: most important first, then those of examples."""
    meanings = content.feature_meanings
    in_examples = [
        name
        for example in content.examples
        for item in example["items"]
        for score in item["scores"]
        for name, _ in score["parts"]
    ]
    return {name: meanings[name] for name in (*most_important(content.importance), *in_examples) if name in meanings}
