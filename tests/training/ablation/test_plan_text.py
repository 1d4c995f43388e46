"""What is said before an ablation."""

from __future__ import annotations

import pytest

from small_ablation import small_run
from training.ablation.plan import plan_of
from training.ablation.plan_text import plan_sentence, show_plan


def test_the_cost_is_said_before_anything_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(small_run())
    show_plan(plan)
    shown = " ".join(capsys.readouterr().out.split())
    assert shown == plan_sentence(plan)
    assert shown.startswith("Ablation of 3 kinds: 2 trainings of match module and ranker (as given, with another seed")
    assert "3 of the ranker alone; then that of the model." in shown
