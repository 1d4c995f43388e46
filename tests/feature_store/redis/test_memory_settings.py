from __future__ import annotations

import json

from feature_store import SignalConfig
from feature_store.redis.memory_settings import FORMAT, MemorySettings

SETTINGS = MemorySettings(SignalConfig(positive_from=4.5), windows=(3, 9, 1), limit=5)


def test_settings_come_back_from_json_with_the_longest_window_only() -> None:
    found = MemorySettings.from_json(SETTINGS.to_json(), SETTINGS.window)
    assert found == MemorySettings(SETTINGS.signals, windows=(9,), limit=5)


def test_settings_that_differ_in_their_windows_only_are_equal_to_the_server() -> None:
    assert SETTINGS.to_json() == MemorySettings(SETTINGS.signals, windows=(2,), limit=5).to_json()
    assert SETTINGS.to_json() != MemorySettings(SETTINGS.signals, windows=(3, 9, 1), limit=6).to_json()


def test_the_format_is_part_of_what_the_server_compares() -> None:
    assert json.loads(SETTINGS.to_json())["format"] == FORMAT == 3


def test_settings_of_models_of_before_are_those_that_their_server_holds() -> None:
    held = {
        "rating_events": ["rating"],
        "positive_from": 4.0,
        "negative_to": 2.0,
        "negative_events": ["skip", "return", "dislike", "hide"],
        "neutral_events": [],
    }
    text = json.dumps({"format": 3, "signals": held, "limit": 5}, sort_keys=True)
    found = MemorySettings.from_json(text, 9)
    assert not found.signals.common_names
    assert found.signals.name_list == 1
    assert found.signals.unnamed == "positive"
    assert found.to_json() == text


def test_settings_of_models_of_the_first_list_of_names_are_those_that_their_server_holds() -> None:
    settings = MemorySettings(SignalConfig(name_list=1), windows=(9,), limit=5)
    held = json.loads(settings.to_json())
    assert "name_list" not in held["signals"]
    assert MemorySettings.from_json(settings.to_json(), 9) == settings
    assert json.loads(MemorySettings(SignalConfig(), (9,), 5).to_json())["signals"]["name_list"] == 2
