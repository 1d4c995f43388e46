from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from training.steps.champion_fault import champion_fault

RUN: Any = SimpleNamespace(store=SimpleNamespace(path="s3://bucket/store"))
CLIENT: Any = SimpleNamespace(tracking_uri="https://ann:secret@tracking.example")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("model: expected one, got none.\nAsk someone."), "model: expected one, got none"),
        (MemoryError(), "MemoryError"),
        (OSError("x" * 1000), "x" * 300),
    ],
)
def test_a_fault_is_the_first_line_of_its_error(error: Exception, words: str) -> None:
    assert champion_fault(error, RUN, CLIENT) == words


def test_a_fault_names_no_secret() -> None:
    fault = champion_fault(OSError("no answer from https://ann:secret@tracking.example/api"), RUN, CLIENT)
    assert fault.startswith("no answer from https://")
    assert "secret" not in fault
