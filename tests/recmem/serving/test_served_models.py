"""The stores that a model server loads: only those that its operator allows, each once, a few at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from feature_store import DataError
from recmem.serving.served_models import MOST_OTHER_STORES, OWN, ServedModels, one_spelling


class Loads:
    """Stands for loading a model: remembers over which stores."""

    def __init__(self) -> None:
        self.stores: list[str | None] = []

    def __call__(self, store: str | None) -> Any:
        self.stores.append(store)
        return f"model over {store}"


def test_the_own_store_is_loaded_at_once_and_always_allowed() -> None:
    loads = Loads()
    models: Any = ServedModels(loads, [])
    assert loads.stores == [None]
    assert models.over(OWN) == "model over None"
    assert loads.stores == [None]


@pytest.mark.parametrize(
    "store",
    ["/data/other", "/data/eu/../other", "/data/europe", "/data", "s3://data/eu", "http://10.0.0.1/", "\0", "s3://["],
)
def test_another_store_than_the_allowed_ones_is_refused_and_not_loaded(store: str) -> None:
    loads = Loads()
    models = ServedModels(loads, ["/data/eu", "s3://bucket/eu"])
    with pytest.raises(DataError, match=r"params\.store: expected a store that this server allows, got .*operator"):
        models.over(store)
    assert loads.stores == [None]


def test_all_spellings_of_an_allowed_store_are_one_model_over_the_operators_spelling(tmp_path: Path) -> None:
    loads = Loads()
    (tmp_path / "eu").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "eu")
    allowed = f"{tmp_path}/eu/"
    models = ServedModels(loads, [allowed, "s3://bucket/eu"])
    relative = os.path.relpath(tmp_path / "eu")
    spellings = [allowed, f"{tmp_path}//eu", f"{tmp_path}/./eu", f"{tmp_path}/x/../eu", relative]
    spellings += [f"file://{tmp_path}/eu", f"{tmp_path}/link"]
    assert {models.over(spelling) for spelling in spellings} == {f"model over {allowed}"}
    assert {models.over(url) for url in ("s3://bucket/eu", "s3://bucket//eu/", "S3://bucket/x/../eu")} == {
        "model over s3://bucket/eu"
    }
    assert loads.stores == [None, allowed, "s3://bucket/eu"]


def test_models_over_the_stores_asked_for_least_recently_make_way() -> None:
    loads = Loads()
    stores = [f"/data/{number}" for number in range(MOST_OTHER_STORES + 1)]
    models = ServedModels(loads, stores)
    for store in stores[:-1]:
        models.over(store)
    models.over(stores[0])
    models.over(stores[-1])  # in place of the second
    for store in (stores[0], stores[-1]):
        models.over(store)
    assert loads.stores == [None, *stores]
    models.over(stores[1])
    assert loads.stores == [None, *stores, stores[1]]


def test_requests_at_the_same_time_load_a_store_once() -> None:
    loads = Loads()
    models = ServedModels(loads, ["/data/eu"])
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(models.over, ["/data/eu"] * 64)) == {"model over /data/eu"}
    assert loads.stores == [None, "/data/eu"]


def test_a_home_folder_is_spelled_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert one_spelling("~/store") == one_spelling(f"{tmp_path}/store")
    assert one_spelling("file:///data/my%20store") == "/data/my store"
