"""What a worker process sends; `test_workers` runs whole processes."""

from __future__ import annotations

from multiprocessing import Pipe

import pytest

from feature_store import DataError
from recmem.batch import worker_process
from recmem.batch.worker_process import ask_parent, receive, send


def test_a_message_arrives_as_it_was_sent() -> None:
    ours, theirs = Pipe()
    send(ours, "score", {"rows": [1, 2]})
    assert receive(theirs) == ("score", {"rows": [1, 2]})


def test_a_question_gives_the_answer_or_raises_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = Pipe()
    monkeypatch.setattr(worker_process, "_parent", [theirs])
    send(ours, "answer", 3)
    assert ask_parent("how many?") == 3
    assert receive(ours) == ("ask", "how many?")
    send(ours, "failed", DataError("texts: expected some, got none. Add one."))
    with pytest.raises(DataError, match="texts: expected some"):
        ask_parent("which?")


def test_a_parent_that_is_gone_is_noticed() -> None:
    ours, theirs = Pipe()
    ours.close()
    with pytest.raises(EOFError):
        receive(theirs)
