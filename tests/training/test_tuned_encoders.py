from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from recmem.text.encoder_tuning import EncoderTuning
from tolerances import close
from training.evaluation.encoder_choice import EncoderChoice
from training.tuned_encoders import NOT_TUNED, TunedEncoders

TUNING = EncoderTuning("last", layers=1, rank=4)
WHY = "the gain is beyond doubt"
KEPT = EncoderChoice(True, WHY, 1000, 62, frozen_ndcg=0.1, tuned_ndcg=0.15, low=0.03, frozen_cold=0.05, tuned_cold=0.06)
TENSORS = {name: {"encoder.weight": torch.rand(2, 3)} for name in ("base", "final")}


def test_what_was_kept_is_read_with_its_tensors_and_figures(tmp_path: Path) -> None:
    TunedEncoders(tmp_path, TUNING, KEPT).write(TENSORS)
    read = TunedEncoders.read(tmp_path)
    assert (read.tuning, read.choice) == (TUNING, KEPT)
    for name, expected in TENSORS.items():
        learned = read.tensors(name)
        assert learned is not None
        assert learned[0] == TUNING
        # Written in half precision, so that training and serving read the same numbers.
        close(learned[1]["encoder.weight"], expected["encoder.weight"].half().float(), "exact")


def test_an_encoder_that_stayed_frozen_leaves_no_tensors_not_even_of_an_earlier_run(tmp_path: Path) -> None:
    TunedEncoders(tmp_path, TUNING, KEPT).write(TENSORS)
    TunedEncoders(tmp_path, TUNING, replace(KEPT, is_tuned=False, why="the gain is not beyond doubt")).write({})
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert TunedEncoders.read(tmp_path).tensors("base") is None


def test_without_a_tuning_the_encoder_is_frozen(tmp_path: Path) -> None:
    assert TunedEncoders.read(tmp_path).tensors("final") is None
    TunedEncoders(tmp_path, None, None).write({})
    read = TunedEncoders.read(tmp_path)
    assert read.tensors("final") is None
    assert read.sentence == NOT_TUNED
    assert json.loads((tmp_path / "summary.json").read_text())["sentence"] == NOT_TUNED


def test_the_sentence_tells_outcome_reason_and_figures(tmp_path: Path) -> None:
    kept = TunedEncoders(tmp_path, TUNING, KEPT).sentence
    assert kept == (
        "The text encoder was tuned: the gain is beyond doubt. On 1,000 held-out queries, NDCG@10 of the match alone "
        "was 0.100 with the frozen one and 0.150 with the tuned one (last; the difference is at least +0.030, "
        "one-sided 90%), Recall@10 of 62 positives without earlier events 0.050 and 0.060."
    )
    few = EncoderChoice(False, "a half of the held-out users has fewer than 10 queries", 3, 0)
    sentence = TunedEncoders(tmp_path, TUNING, few).sentence
    assert sentence == "The text encoder stayed frozen: a half of the held-out users has fewer than 10 queries."
