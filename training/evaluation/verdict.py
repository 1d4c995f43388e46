"""The verdict on a new version: data, its file `verdict.json`, and a few words for tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from training.config import PromotionPolicy
from training.evaluation.ledger import HEADLINE_METRIC, Lift, Slice

VERDICT = "verdict.json"
"""The file's name, in a run's folder and among the artifacts of its MLflow run."""

Finding = Literal["first", "better", "not worse", "worse", "not compared"]
BundleKind = Literal["measured", "shipped"]

_RENAMED = {"without": "champion", "with_": "challenger"}
"""What `Lift` and `Slice` call the two models, and what the file calls them."""


@dataclass(frozen=True)
class Champion:
    """The champion that a new version is compared with."""

    version: str
    run_id: str
    """MLflow's run that registered it."""


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same queries, which neither has learned from."""

    bundle: BundleKind
    """The champion's: `measured`, as its own figures were measured, or `shipped` if no other was kept."""
    champion_learned_until: str
    """Up to when that bundle has learned, ISO 8601."""
    challenger_learned_until: str
    """Up to when the challenger's measured bundle has learned, ISO 8601."""
    after: str
    """All queries lie after this time, ISO 8601."""
    queries: int
    users: int
    lift: Lift
    """`without` is the champion's NDCG@10, `with_` the challenger's."""
    slices: Mapping[str, Slice]
    """Their intervals hold together in 95% of cases."""
    too_small: tuple[str, ...] = ()
    """Slices of too few users to be judged."""


@dataclass(frozen=True)
class Verdict:
    """Whether the new version becomes champion, and why."""

    policy: PromotionPolicy
    promotes: bool
    finding: Finding
    reason: str
    """Without a capital or a full stop."""
    champion: Champion | None = None
    """None if there was none."""
    comparison: Comparison | None = None
    """None if there was no champion, or it could not be compared."""

    @property
    def words(self) -> str:
        """A few words: `promoted: not worse than version 2 (+0.003)`."""
        outcome = "promoted" if self.promotes else "refused"
        policy = "" if self.policy == "not-worse" else f" (--promote {self.policy})"
        if self.champion is None:
            return f"{outcome}{policy}: {'first champion' if self.promotes else self.reason}"
        if self.comparison is None:
            return f"{outcome}{policy}: not compared with version {self.champion.version}"
        parts = worse_parts(self.comparison) or [f"{self.comparison.lift.difference:+.3f}"]
        return f"{outcome}{policy}: {self.finding} than version {self.champion.version} ({', '.join(parts)})"

    def to_json(self) -> str:
        """The text of `verdict.json`."""
        document = asdict(self) | {"metric": HEADLINE_METRIC, "words": self.words}
        if document["comparison"]:
            comparison = document["comparison"]
            comparison["lift"] = _renamed(comparison["lift"])
            comparison["slices"] = {name: _renamed(part) for name, part in comparison["slices"].items()}
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """What `to_json` wrote."""
        document = json.loads(text)
        champion = document["champion"]
        comparison = document["comparison"]
        return cls(
            policy=document["policy"],
            promotes=document["promotes"],
            finding=document["finding"],
            reason=document["reason"],
            champion=None if champion is None else Champion(**champion),
            comparison=None if comparison is None else _comparison(comparison),
        )

    def figures(self) -> dict[str, float]:
        """The comparison's figures by the names that they have in MLflow; none without a comparison."""
        if self.comparison is None:
            return {}
        lift = self.comparison.lift
        return {
            f"against_champion/{HEADLINE_METRIC}": lift.difference,
            f"against_champion_low/{HEADLINE_METRIC}": lift.ci95[0],
            f"against_champion_high/{HEADLINE_METRIC}": lift.ci95[1],
            "against_champion_queries": float(self.comparison.queries),
        }

    def figure_tags(self) -> dict[str, str]:
        """The same figures as tags of the version; none without a comparison."""
        names = ("ndcg_at_10", "low", "high", "queries")
        figures = zip(names, self.figures().values(), strict=False)
        return {f"against_champion_{name}": f"{value:g}" for name, value in figures}


def finding_of(comparison: Comparison) -> Literal["better", "not worse", "worse"]:
    """What the figures say of the challenger, see `training.evaluation.promotion`."""
    if worse_parts(comparison):
        return "worse"
    return "better" if comparison.lift.ci95[0] > 0 else "not worse"


def worse_parts(comparison: Comparison) -> list[str]:
    """Where the challenger is significantly worse, with the difference: `overall -0.100`, `cold items -0.200`."""
    parts = [f"overall {comparison.lift.difference:+.3f}"] if comparison.lift.ci95[1] < 0 else []
    parts += [f"{name} {part.difference:+.3f}" for name, part in comparison.slices.items() if part.ci95[1] < 0]
    return parts


def difference_text(comparison: Comparison) -> str:
    """The figures of a comparison, and on what they were measured."""
    lift = comparison.lift
    low, high = lift.ci95
    text = (
        f"{HEADLINE_METRIC} {lift.without:.4f} to {lift.with_:.4f} ({lift.difference:+.4f}, "
        f"95% interval {low:+.4f} to {high:+.4f})"
    )
    for name, part in comparison.slices.items():
        if part.ci95[1] < 0:
            text += f"; {name}: {part.metric} {part.without:.4f} to {part.with_:.4f} ({part.difference:+.4f})"
    measured = "as it was measured, " if comparison.bundle == "measured" else "as it is served, "
    return (
        f"{text}, on {comparison.queries:,} queries of {comparison.users:,} users after {comparison.after}; "
        f"the champion {measured}with events up to {comparison.champion_learned_until}, the new version up to "
        f"{comparison.challenger_learned_until}"
    )


def _renamed(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(key, key): value for key, value in entry.items()}


def _comparison(document: Mapping[str, Any]) -> Comparison:
    lift = _named_back(document["lift"])
    slices = {name: Slice(**_named_back(part)) for name, part in document["slices"].items()}
    return Comparison(**{**document, "lift": Lift(**lift), "slices": slices, "too_small": tuple(document["too_small"])})


def _named_back(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = {new: old for old, new in _RENAMED.items()}
    return {names.get(key, key): tuple(value) if key == "ci95" else value for key, value in entry.items()}
