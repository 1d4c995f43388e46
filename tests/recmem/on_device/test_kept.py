"""What is kept per object and device."""

from __future__ import annotations

import gc

import torch

from recmem.on_device.kept import Kept

CPU = torch.device("cpu")


class Thing:
    """Has no equal but itself."""


def test_a_value_is_made_once_for_each_object_and_device() -> None:
    made: list[str] = []
    kept: Kept[Thing, str] = Kept()

    def make(name: str) -> str:
        made.append(name)
        return name

    one, other = Thing(), Thing()
    assert kept.of(one, CPU, lambda: make("one")) == "one"
    assert kept.of(one, CPU, lambda: make("again")) == "one"
    assert kept.of(one, torch.device("meta"), lambda: make("elsewhere")) == "elsewhere"
    assert kept.of(other, CPU, lambda: make("other")) == "other"
    assert made == ["one", "elsewhere", "other"]


def test_it_goes_with_its_object() -> None:
    kept: Kept[Thing, list[int]] = Kept()
    thing = Thing()
    kept.of(thing, CPU, lambda: [1])
    assert len(kept) == 1
    del thing
    gc.collect()
    assert len(kept) == 0
