"""Loading: of a bundle folder, and of what is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
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


SLOW_TO_IMPORT = ["transformers", "sklearn", "scipy.stats", "mlflow", "lightgbm", "pandas", "matplotlib", "faiss"]
"""Seconds together, and nothing of them is needed where all texts have vectors and the item-item models are kept."""


def test_loading_and_scoring_import_nothing_that_they_do_not_use(tmp_path: Path) -> None:
    trained = trained_model()
    model = trained.model()
    candidates = trained.events.select("user_id", "item_id").head(20)
    expected = model.rank(candidates)  # keeps the item-item models
    candidates.write_parquet(tmp_path / "candidates.parquet")
    arguments = ["score", "--model", trained.bundle, "--store", trained.store, "--device", "cpu"]
    arguments += ["--candidates", tmp_path / "candidates.parquet", "--out", tmp_path / "scores.parquet"]
    code = f"""
import sys
from recmem.cli import main
sys.argv = ["recmem", *{list(map(str, arguments))}]
try:
    main()
except SystemExit as stopped:
    assert not stopped.code
print("loaded:", *sorted(set({SLOW_TO_IMPORT}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:", done.stdout
    assert pl.read_parquet(tmp_path / "scores.parquet").equals(expected)
