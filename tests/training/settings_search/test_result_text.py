"""The outcome of a search in sentences."""

from __future__ import annotations

from training.evaluation.intervals import Difference
from training.settings_search.gain import Gain
from training.settings_search.result_text import duration_text, gain_sentences, trial_sentence, value_text
from training.settings_search.study import BASE, Trial


def trial(number: int, group: str, value: float | None, cause: str = "") -> Trial:
    return Trial(number, group, {}, value, "ranker_with_match", 12.4, cause)


BASE_TRIAL = trial(0, BASE, 0.2841)
BEST = trial(17, "match", 0.2893)
CLEAR = Gain(1520, 700, Difference(0.0052, 0.001, 0.0103), Difference(0.004, 0.0002, 0.009))
NOISE = Gain(1520, 700, Difference(0.0052, -0.001, 0.0113), Difference(0.0021, -0.004, 0.008))


def test_clear_gain_is_told_with_both_intervals_and_without_a_caution() -> None:
    first, second = gain_sentences(BASE_TRIAL, BEST, 43, CLEAR)
    assert first == (
        "Best of 43 trials: trial 17, with NDCG@10 0.2893 on 1,520 validation queries of 700 users; the base "
        "configuration has 0.2841. Gain: +0.0052 (95% interval +0.0010 to +0.0103)."
    )
    assert "owes part of its gain to luck" in second
    assert "on 80% of the users and measured on the others, the gain is +0.0040 (95% interval +0.0002" in second


def test_gain_within_the_noise_carries_a_caution() -> None:
    *_, last = gain_sentences(BASE_TRIAL, BEST, 43, NOISE)
    assert last.startswith("Caution: this gain is within the noise. Keep the base configuration, unless")


def test_base_configuration_that_stays_the_best_is_told() -> None:
    none = Gain(10, 5, Difference(0, 0, 0), Difference(0, 0, 0))
    assert gain_sentences(BASE_TRIAL, BASE_TRIAL, 5, none) == [
        "None of 5 trials is better than the base configuration, with NDCG@10 0.2841 on 10 validation queries of "
        "5 users."
    ]
    assert gain_sentences(BASE_TRIAL, BASE_TRIAL, 1, none)[0].startswith("Only the base configuration was measured")


def test_too_few_users_are_told() -> None:
    gain = Gain(4, 1, Difference(0.1, -1.0, 1.0), Difference(0, -1.0, 1.0))
    assert "Gain: +0.1000 (too few users for an interval)." in gain_sentences(BASE_TRIAL, BEST, 2, gain)[0]


def test_each_trial_is_a_line_with_its_figure_and_the_time_left() -> None:
    def line(ended: Trial, best: Trial) -> str:
        return trial_sentence(ended, best, queries=1520, left_s=600)

    assert line(BASE_TRIAL, BASE_TRIAL) == (
        "Trial 0, base configuration: NDCG@10 0.2841 on 1,520 validation queries. 12 s; 10 min left."
    )
    assert line(BEST, BEST) == "Trial 17, match: NDCG@10 0.2893, the best so far. 12 s; 10 min left."
    other = trial(18, "ranker", 0.28)
    assert line(other, BEST) == "Trial 18, ranker: NDCG@10 0.2800 (best: 0.2893, trial 17). 12 s; 10 min left."
    failed = trial(19, "ranker", None, "leaves: expected fewer, got 9. Lower it.")
    assert line(failed, BEST) == (
        "Trial 19, ranker: failed: leaves: expected fewer, got 9. Lower it. 12 s; 10 min left."
    )


def test_durations_and_values_are_short() -> None:
    assert [duration_text(seconds) for seconds in (0.4, 119, 120, 5400)] == ["0 s", "119 s", "2 min", "90 min"]
    assert [value_text(value) for value in (2048, 0.0546, 10.0)] == ["2,048", "0.0546", "10"]
