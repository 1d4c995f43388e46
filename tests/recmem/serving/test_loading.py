"""Loading: of a bundle folder, and of what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

import recmem
from debian_model import trained_model
from feature_store import DataError
from recmem.serving.model import Model


def test_load_gives_the_model_of_a_bundle_folder() -> None:
    assert isinstance(recmem.load(trained_model().bundle), Model)


def test_loading_what_is_no_model_or_store_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model: expected a folder with bundle.json"):
        recmem.load(tmp_path)
    with pytest.raises(DataError, match=r"expected a store, got none"):
        recmem.load(trained_model().bundle, store=tmp_path)
