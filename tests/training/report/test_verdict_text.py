"""What people read of a verdict."""

from __future__ import annotations

from dataclasses import replace

from training.evaluation.ledger import Lift, Slice
from training.evaluation.verdict import Champion, Comparison, Verdict
from training.report.verdict_text import verdict_sentences

COMPARISON = Comparison(
    bundle="measured",
    champion_learned_until="2026-03-01T00:00:00+00:00",
    challenger_learned_until="2026-03-02T00:00:00+00:00",
    after="2026-03-02T00:00:00+00:00",
    queries=1300,
    users=900,
    lift=Lift(0.4, 0.41, 0.01, (0.0, 0.03)),
    slices={"memory 1-5": Slice(50, 0.3, 0.3, (-0.1, 0.1))},
    too_small=("cold items", "memory 21+"),
)
VERDICT = Verdict("not-worse", True, "not worse", "", Champion("3", "abc"), COMPARISON)


def test_a_comparison_says_outcome_figures_slices_and_what_was_compared() -> None:
    assert verdict_sentences(VERDICT) == [
        "Promoted to champion: the new version is not worse than the champion, version 3. On 1,300 queries of 900 "
        "users, NDCG@10 goes from 0.400 (champion) to 0.410 (new version): +0.010, 95% interval: +0.000 to +0.030.",
        "No slice is significantly worse; the slices' intervals hold together in 95% of cases. Not judged, with fewer "
        "than 20 users: cold items; users, 21+ events.",
        "All queries lie after 2026-03-02 00:00:00 UTC, so neither model has learned from them: the new version before "
        "its refit, with events up to 2026-03-02 00:00:00 UTC, the champion as it was before its own refit, with "
        "events up to 2026-03-01 00:00:00 UTC.",
    ]


def test_a_refusal_names_the_slices_that_are_worse() -> None:
    slices = {"cold items": Slice(40, 0.3, 0.2, (-0.2, -0.02), "recall@10", 44)}
    comparison = replace(COMPARISON, slices=slices, too_small=())
    sentences = verdict_sentences(replace(VERDICT, promotes=False, finding="worse", comparison=comparison))
    assert sentences[0].startswith("Not promoted: the new version is significantly worse than the champion, version 3.")
    assert sentences[1] == "Significantly worse: cold items."


def test_a_slice_that_is_worse_on_few_items_says_on_how_many() -> None:
    slices = {"cold items": Slice(40, 0.3, 0.2, (-0.2, -0.02), "recall@10", 44, 11)}
    comparison = replace(COMPARISON, slices=slices, too_small=())
    sentences = verdict_sentences(replace(VERDICT, promotes=False, finding="worse", comparison=comparison))
    assert sentences[1] == "Significantly worse: cold items (44 positives of 11 items)."


def test_a_champion_of_which_only_the_served_model_is_left_is_said_to_be_so() -> None:
    comparison = replace(COMPARISON, bundle="shipped", slices={})
    sentences = verdict_sentences(replace(VERDICT, comparison=comparison))
    assert sentences[1].startswith("No slice was judged.")
    assert sentences[2].endswith(
        "the champion as it is served, with events up to 2026-03-01 00:00:00 UTC, since no earlier model of it was "
        "kept."
    )


def test_without_a_comparison_the_reason_is_all_but_the_figures_of_the_head_for_a_first_version() -> None:
    verdict = Verdict("never", False, "first", "no champion yet, and the text features help: ndcg@10 +0.1")
    assert verdict_sentences(verdict) == [
        "Not promoted (--promote never): no champion yet, and the text features help."
    ]
    verdict = Verdict(
        "not-worse", True, "not compared", "version 3 cannot be scored (gone): ndcg@10 +0.1", Champion("3", "abc")
    )
    assert verdict_sentences(verdict) == ["Promoted to champion: version 3 cannot be scored (gone): NDCG@10 +0.1."]
