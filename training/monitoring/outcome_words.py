"""What became of the watched rows, as sentences: also where all is well."""

from __future__ import annotations

from recmem.reference.reference import Outcomes
from training.monitoring.findings import Monitoring

_NOTHING_KNOWN = 1e8
"""Upper end of a ratio's interval from which on it says nothing."""


def outcome_sentences(found: Monitoring) -> list[str]:
    """NDCG@10 and the positives relative to `match_score`, each with its interval; none if no outcomes were given."""
    now = found.current_outcomes
    if now is None:
        return []
    return [_ndcg(found, now), _positives(now)]


def _ndcg(found: Monitoring, now: Outcomes) -> str:
    queries = "1 query" if now.queries == 1 else f"{now.queries:,} queries"
    users = "1 user" if now.users == 1 else f"{now.users:,} users"
    sentence = f"NDCG@10 is {_with_interval(now)}, on {queries} of {users}"
    before = found.reference_outcomes
    if before is None:
        return f"{sentence}; the reference has none."
    if any(finding.name == "ndcg_at_10" for finding in found.findings):
        return f"{sentence}; the reference has {_with_interval(before)}."
    return f"{sentence}. The reference's, {_with_interval(before)}, is of other candidates: not compared."


def _with_interval(outcomes: Outcomes) -> str:
    low, high = outcomes.ndcg_ci95
    return f"{outcomes.ndcg:.3f} (95% interval {low:.3f} to {high:.3f})"


def _positives(now: Outcomes) -> str:
    ratio = now.observed / max(now.expected, 1e-9)
    low, high = now.ratio_ci95
    sentence = f"There are {ratio:.2f} times as many positives as match_score led to expect"
    return f"{sentence}." if high >= _NOTHING_KNOWN else f"{sentence} (95% interval {low:.2f} to {high:.2f})."
