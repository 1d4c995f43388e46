"""The table of memory kinds, and the kind that docs/adding_a_memory_kind.md adds to it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given

from feature_store.point_in_time.histories import Histories
from recmem.matching import memory_kinds
from recmem.matching.match_module import MatchConfig, MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.memory_kinds import MemoryKind, kind_names, kinds_of
from recmem.matching.text_similarity import compared_slots
from recmem.matching.user_memory import MemoryConfig, Slots
from slow_reference import Event
from strategies import N_USERS, event_log, logs, times
from tolerances import close

DOCUMENT = Path(__file__).parents[3] / "docs" / "adding_a_memory_kind.md"
MEMORY = MemoryConfig(recent=99, negatives=True)
CONFIG = MatchConfig(dim=8, n_heads=2, head_dim=3)
REPEAT_PURCHASES = [Event(0, 3, 1), Event(0, 1, 2, "skip"), Event(0, 3, 3), Event(1, 3, 3), Event(0, 1, 4)]


def histories(log: list[Event], time: int = 9) -> Histories:
    return Histories.as_of(event_log(log), np.arange(N_USERS), np.full(N_USERS, time), 99)


def unit_vectors() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn((5, 8), generator=torch.Generator().manual_seed(0)), dim=1)


def documented_kinds() -> tuple[MemoryKind, ...]:
    """The table after the document's code ran in a copy of the module's namespace."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    namespace = dict(vars(memory_kinds))
    exec(compile(code, str(DOCUMENT), "exec"), namespace)
    kinds: tuple[MemoryKind, ...] = namespace["KINDS"]
    return kinds


def repeated() -> int:
    """The documented kind's row in the weights."""
    return memory_kinds.place_of("repeated")


@pytest.fixture
def with_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_kinds, "KINDS", documented_kinds())


def test_kinds_keep_their_rows_in_the_weights() -> None:
    names = [kind.name for kind in memory_kinds.KINDS]
    assert names[:7] == ["negative", "neutral", "positive", "declared", "consolidated", "knowledge", "not_clicked"]
    assert [memory_kinds.place_of(name) for name in names] == list(range(len(names)))
    assert memory_kinds.n_kinds_of_events() == 3


def test_a_memory_holds_what_its_settings_say() -> None:
    names = {kind.name: place for place, kind in enumerate(memory_kinds.KINDS)}
    memory = MemoryConfig(declared=False, consolidated=2, negatives=False)
    held = memory.holds_kind
    assert [bool(held[names[name]]) for name in ("positive", "negative", "declared", "consolidated")] == [
        True,
        False,
        False,
        True,
    ]
    assert bool(MemoryConfig().holds_kind[names["declared"]])
    assert not bool(MemoryConfig().holds_kind[names["consolidated"]])
    assert not bool(MemoryConfig().holds_kind[names["negative"]])


@given(logs(), times())
def test_the_kind_of_an_event_is_its_sign(log: list[Event], time: int) -> None:
    remembered = histories(log, time)
    names = {-1: "negative", 0: "neutral", 1: "positive"}
    assert (kinds_of(remembered) - 1).tolist() == remembered.signs.tolist()
    assert kind_names(remembered) == [names[sign] for sign in remembered.signs.tolist()]


def test_an_event_of_no_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_kinds, "KINDS", memory_kinds.KINDS[1:])
    with pytest.raises(ValueError, match=r"KINDS: expected a kind for every event, got none for 1 events\. Add a kind"):
        kinds_of(histories(REPEAT_PURCHASES))


@pytest.mark.usefixtures("with_repeated")
def test_the_documented_kind_takes_repeat_purchases_from_the_positive_ones() -> None:
    remembered = histories(REPEAT_PURCHASES)
    assert kind_names(remembered) == ["positive", "negative", "repeated", "repeated", "positive"]
    assert Slots.of(remembered, MEMORY).kinds.tolist() == [2, 0, repeated(), repeated(), 2]
    assert kind_names(histories([])) == []


@pytest.mark.usefixtures("with_repeated")
def test_only_events_of_the_memory_itself_make_a_repeat_purchase() -> None:
    assert Slots.of(histories(REPEAT_PURCHASES), MemoryConfig(recent=2, negatives=True)).kinds.tolist() == [2, 2, 2]


@pytest.mark.usefixtures("with_repeated")
def test_a_module_learns_weights_of_the_documented_kind() -> None:
    module = MatchModule(CONFIG, torch.Generator().manual_seed(1))
    assert module.n_kinds == repeated() + 1
    slots = Slots.of(histories(REPEAT_PURCHASES), MEMORY)
    module(module.tables(unit_vectors()), slots, torch.arange(5)).square().sum().backward()
    for weight in (module.kind, module.sign):
        assert weight.grad is not None
        assert weight.grad[repeated()].any()


@pytest.mark.usefixtures("with_repeated")
def test_the_documented_kind_changes_scores_by_its_weights_alone() -> None:
    module = MatchModule(CONFIG, torch.Generator().manual_seed(1)).eval()
    remembered = histories(REPEAT_PURCHASES)
    before = Matcher.of(module, unit_vectors(), MEMORY).features(remembered, np.arange(5))
    with torch.no_grad():
        module.sign[repeated()] = -1
    after = Matcher.of(module, unit_vectors(), MEMORY).features(remembered, np.arange(5))
    assert (before["match_raw"][0] != after["match_raw"][0]).all()
    close(after["match_raw"][1], before["match_raw"][1], "exact")  # this user repeats nothing
    close(after["similarity_max"], before["similarity_max"], "exact")


@pytest.mark.usefixtures("with_repeated")
def test_repeat_purchases_count_for_text_similarities() -> None:
    slots = Slots.of(histories(REPEAT_PURCHASES), MEMORY)
    assert Counter(slots.kinds[compared_slots(slots)].tolist()) == Counter({2: 2, repeated(): 2})


def test_weights_of_another_number_of_kinds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = MatchModule(CONFIG).state_dict()
    monkeypatch.setattr(memory_kinds, "KINDS", documented_kinds())
    words = (
        r"expected weights of \d memory kinds \(negative, neutral, positive, .*, repeated\), got \d\. Train again after"
    )
    with pytest.raises(ValueError, match=words):
        MatchModule.from_weights(CONFIG, weights)
