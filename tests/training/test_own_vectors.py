"""Vectors of items in place of a text encoder: the same vectors give the same figures, and items need no texts."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

import recmem
import small_training
from conftest import IsolatedMlflow
from feature_store import DataError, Store
from feature_store.item_vectors import append_vectors, checked_vectors, space_fingerprint, stored_spaces
from recmem.cli.app import app
from recmem.dataset.catalogue import Catalogue
from recmem.serving.model import Model
from recmem.serving.scoring import MATCH_OUTPUTS
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.item_text import item_text, text_columns
from tolerances import close
from training.api import train
from training.evaluation.ledger import Ledger
from training.monitoring.watched_rows import watched_candidates
from training.own_vectors import training_vectors, unread_sentences
from training.ranker_features import RecmemFeatures
from training.run import TrainingResult
from training.tracking.registry import save_pyfunc
from training.training_features import training_features

NAME = "minilm-exported"


@pytest.fixture(autouse=True)
def tracked(isolated_mlflow: IsolatedMlflow) -> None:
    """Trainings and pyfuncs of this file are tracked in a database of their own."""


@functools.cache
def exported() -> pl.DataFrame:
    """The vectors that the default encoder gives the items' texts."""
    items = small_training.items()
    units = TextEncoder.load(EncoderConfig()).encode(item_text(items, text_columns(items)).to_list())
    return vectors_of(items["item_id"], units.numpy())


def vectors_of(ids: pl.Series, vectors: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"item_id": ids, "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))})


def random_vectors(dim: int, seed: int = 0) -> pl.DataFrame:
    ids = small_training.items()["item_id"]
    return vectors_of(ids, np.random.default_rng(seed).normal(size=(len(ids), dim)).astype(np.float32))


@functools.cache
def trained() -> TrainingResult:
    """A training on the exported vectors, made once per process."""
    out = tempfile.mkdtemp(prefix="recmem-own-vectors-")
    return train(small_training.items(), small_training.events(), vectors=exported(), vectors_name=NAME, out=out)


def model() -> Model:
    return recmem.load(trained().bundle)


def candidates() -> pl.DataFrame:
    """Every library for three projects."""
    users = pl.DataFrame({"user_id": ["curl", "inkscape", "vlc"]})
    return users.join(small_training.items().select("item_id"), how="cross")


def scores(one: Model, rows: pl.DataFrame) -> np.ndarray:
    return one.rank(rows)["score"].to_numpy()


def test_vectors_of_the_encoder_give_the_figures_and_scores_of_the_encoder() -> None:
    with_encoder = small_training.trained() / "run"
    ledger = Ledger.from_json((with_encoder / "ledger.json").read_text())
    assert [row.name for row in trained().ledger.rows] == [row.name for row in ledger.rows]
    for own, expected in zip(trained().ledger.rows, ledger.rows, strict=True):
        assert own.metrics.keys() == expected.metrics.keys()
        for metric, figure in expected.metrics.items():
            assert own.metrics[metric] == pytest.approx(figure, abs=1e-9), (own.name, metric)
    assert trained().ledger.ships == ledger.ships
    encoder_model = recmem.load(with_encoder / "bundle")
    close(scores(model(), candidates()), scores(encoder_model, candidates()), "exact")


def test_the_bundle_says_whose_vectors_it_reads() -> None:
    config = model().bundle.config
    assert (config.vectors, config.match.dim) == (NAME, 384)
    assert config.fingerprint == space_fingerprint(NAME, 384)
    assert trained().encoder == f"No text encoder was used: items are matched by their vectors {NAME!r} of 384 numbers."
    assert "vectors" in (trained().out / "recmem.toml").read_text()


def test_texts_that_nothing_reads_are_not_watched() -> None:
    reference = model().bundle.reference
    assert reference is not None
    assert {"match_raw", "score"} <= set(reference.figures)
    assert "text_length" not in reference.figures
    assert "empty_texts" not in reference.shares
    watched = watched_candidates(model(), candidates(), len(candidates()))
    assert "text_length" not in watched.rows.figures
    assert "empty_texts" not in watched.rows.shares


def test_texts_are_no_input_of_the_model_and_no_encoder_is_installed_with_it(tmp_path: Path) -> None:
    save_pyfunc(trained().bundle, tmp_path / "model", candidates())
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert "title" not in served.metadata.signature.inputs.input_names()
    assert "minilm" not in (tmp_path / "model" / "requirements.txt").read_text()
    close(served.predict(candidates().to_pandas())["score"].to_numpy(), scores(model(), candidates()), "exact")


def test_a_new_item_is_scored_by_its_vector_as_the_one_that_has_the_same() -> None:
    one = model()
    like = exported().filter(pl.col("item_id") == "libopus-dev")
    new = like.with_columns(item_id=pl.lit("libopus-copy"))
    receipt = one.add_vectors(pl.concat([new, like]))
    assert (receipt.n_in, receipt.n_new, receipt.n_duplicate) == (2, 1, 1)
    rows = pl.DataFrame({"user_id": ["vlc"] * 2, "item_id": ["libopus-dev", "libopus-copy"]})
    scored = one.match_with_report(rows)
    raw = scored.frame["match_raw"].to_numpy()
    close(raw[1], raw[0], "float32")
    assert scored.unmatched.unknown_items_with_vector == 1
    assert scored.unmatched.items_without_vector == 0
    assert scored.item_is_known.tolist() == [True, False]


def test_an_item_without_a_vector_is_counted_and_like_no_other() -> None:
    rows = pl.DataFrame({"user_id": ["vlc", "vlc"], "item_id": ["never-seen", "libopus-dev"]})
    scored = model().match_with_report(rows)
    assert scored.unmatched.items_without_vector == 1
    assert scored.frame["similarity_max"][0] == 0
    assert any("the item has no vector" in sentence for sentence in scored.unmatched.sentences())


def test_a_text_that_comes_with_a_candidate_is_refused_where_the_item_has_no_vector() -> None:
    one = model()
    rows = pl.DataFrame({"user_id": ["vlc"], "item_id": ["new"], "title": ["audio codec, development files"]})
    with pytest.raises(DataError, match=r"candidates.title: expected no texts .* reads vectors of 'minilm-exported'"):
        one.rank(rows)
    known = rows.with_columns(item_id=pl.lit("libopus-dev"))
    assert one.rank(known)["score"].equals(one.rank(known.drop("title"))["score"])
    like = exported().filter(pl.col("item_id") == "libopus-dev")
    one.add_vectors(like.with_columns(item_id=pl.lit("new")))
    assert one.rank(rows)["similarity_max"][0] > 0


def test_vectors_of_another_name_length_or_model_are_refused() -> None:
    one = model()
    with pytest.raises(DataError, match=r"vectors_name: expected 'minilm-exported', .* got 'clip'"):
        one.add_vectors(exported(), name="clip")
    with pytest.raises(DataError, match=r"vector: expected 384 numbers, as the model's vectors .* such as 8 "):
        one.add_vectors(random_vectors(8))
    with pytest.raises(DataError, match=r"got ones of another model: the median cosine .* is -?0\.\d\d over 21 items"):
        one.add_vectors(random_vectors(384))
    text_model = recmem.load(small_training.trained() / "run" / "bundle")
    with pytest.raises(DataError, match="expected a model that was trained with vectors, got one with a text encoder"):
        text_model.add_vectors(exported())


def test_the_model_reads_newer_vectors_of_its_name_from_the_store_and_none_of_another(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(small_training.items())
    store.append_events(small_training.events())
    with pytest.raises(DataError, match="vectors_name: expected vectors of 'minilm-exported' in the store, got none"):
        recmem.load(trained().bundle, store=store)
    append_vectors(store, checked_vectors(store, random_vectors(8), "other"))
    with pytest.raises(DataError, match="in the store, got only 'other'"):
        recmem.load(trained().bundle, store=store)
    append_vectors(store, checked_vectors(store, exported(), NAME))
    close(scores(recmem.load(trained().bundle, store=store), candidates()), scores(model(), candidates()), "exact")


@pytest.mark.parametrize("dim", [8, 768])
def test_items_need_no_texts_and_vectors_may_have_any_length(tmp_path: Path, dim: int) -> None:
    items = small_training.items().select("item_id")
    vectors = random_vectors(dim).filter(pl.col("item_id") != "libopus-dev")
    vectors.write_parquet(tmp_path / "clip-v1.5.parquet")
    result = train(items, small_training.events(), vectors=tmp_path / "clip-v1.5.parquet", out=tmp_path / "run")
    assert stored_spaces(Store.open(tmp_path / "run" / "store")) == {"clip-v1.5": 20}
    assert any(warning.startswith("item_vectors: 1 has none of 21 items.") for warning in result.warnings)
    one = recmem.load(result.bundle)
    assert one.matcher.tables.unit.shape == (21, dim)
    report = one.rank_with_report(candidates())
    assert report.frame["score"].is_finite().all()
    assert report.unmatched.items_without_vector == 3
    assert "libopus-dev" in one.explain("vlc", "libopus-dev").sentence()


def test_no_text_encoder_is_loaded(tmp_path: Path) -> None:
    small_training.items().write_parquet(tmp_path / "items.parquet")
    small_training.events().write_parquet(tmp_path / "events.parquet")
    random_vectors(8).write_ipc(tmp_path / "vectors.arrow")
    code = (
        "import sys; from recmem.cli import main\n"
        "try: main()\n"
        "finally: print('loaded', [name for name in ('transformers', 'tokenizers') if name in sys.modules])"
    )
    arguments = ["train", "--items", "items.parquet", "--events", "events.parquet", "--vectors", "vectors.arrow"]
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--out", "run", "--no-refit"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().endswith("loaded []")
    assert "matched by their vectors 'vectors' of 8 numbers" in ran.stdout
    assert not (tmp_path / "run" / "store" / "vectors").exists()


def test_settings_of_an_encoder_are_refused_beside_vectors(tmp_path: Path) -> None:
    items = small_training.items()
    events = small_training.events()
    with pytest.raises(ValueError, match=r"tuning.kind: expected 'off', as vectors of the items .* got 'lora'"):
        train(items, events, vectors=exported(), tune_encoder="lora", out=tmp_path / "run")
    with pytest.raises(ValueError, match=r"text_prefix: expected the default, .* got 'query: '"):
        train(store=tmp_path, text_prefix="query: ", vectors_name="clip", out=tmp_path / "run")


def test_vectors_for_fewer_than_half_of_the_items_are_refused(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(small_training.items())
    catalogue = Catalogue.of(store.items(), ("title",))
    append_vectors(store, checked_vectors(store, random_vectors(8).head(10), "clip"))
    with pytest.raises(DataError, match=r"for at least 50% of the 21 items, got 10; '.*' has none"):
        training_vectors(store, "clip", catalogue)
    append_vectors(store, checked_vectors(store, random_vectors(8).head(11), "clip"))
    vectors, n_without = training_vectors(store, "clip", catalogue)
    assert (vectors.dim, n_without) == (8, 10)
    is_missing = ~vectors.knows(catalogue.ids)
    assert not bool(vectors.of_ids(catalogue.ids)[torch.from_numpy(is_missing)].any())


def test_a_training_takes_the_stores_vectors_by_their_name_alone() -> None:
    again = train(store=trained().out / "store", vectors_name=NAME, out=tempfile.mkdtemp(prefix="recmem-own-vectors-"))
    assert json.loads(again.ledger.to_json())["rows"] == json.loads(trained().ledger.to_json())["rows"]


def test_vectors_in_the_store_that_a_text_encoder_passes_over_are_named(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    assert list(unread_sentences(store)) == []
    append_vectors(store, checked_vectors(store, random_vectors(8), "clip"))
    assert next(unread_sentences(store)).startswith(
        "item_vectors: the store has vectors of items, named 'clip', which are not"
    )


def test_cross_fitted_features_of_the_encoders_vectors_are_those_of_the_encoder(tmp_path: Path) -> None:
    items = small_training.items()
    events = small_training.events()
    rows = events.select("user_id", "item_id", "timestamp")
    with_encoder = training_features(rows, items, events, out=tmp_path / "encoder", folds=2)
    own = RecmemFeatures(
        items.select("item_id"), events, vectors=exported(), vectors_name=NAME, out=tmp_path / "own", folds=2
    )
    features = own.fit_transform(rows)
    expected = with_encoder.frame.select(MATCH_OUTPUTS).fill_null(np.nan).to_numpy()
    close(features, expected, "exact")
    assert own.model().bundle.config.vectors == NAME
    new = pl.DataFrame({"user_id": ["vlc"], "item_id": ["new"]})
    assert own.model().match_with_report(new).unmatched.items_without_vector == 1


def test_a_file_of_new_vectors_goes_into_the_store_and_into_scoring_under_the_models_name(tmp_path: Path) -> None:
    like = exported().filter(pl.col("item_id") == "libopus-dev")
    like.with_columns(item_id=pl.lit("libopus-copy")).write_parquet(tmp_path / "2026-11-28.parquet")
    rows = pl.DataFrame({"user_id": ["vlc"] * 2, "item_id": ["libopus-dev", "libopus-copy"]})
    rows.write_parquet(tmp_path / "candidates.parquet")
    files = ["--candidates", str(tmp_path / "candidates.parquet"), "--out", str(tmp_path / "scores.parquet")]
    score = ["score", "--model", str(trained().bundle), *files, "--columns", "match"]
    result = CliRunner().invoke(app, [*score, "--vectors", str(tmp_path / "2026-11-28.parquet")])
    assert result.exit_code == 0, result.output
    assert "1 row: the item is not in the store and was scored by its vector." in result.output
    raw = pl.read_parquet(tmp_path / "scores.parquet")["match_raw"].to_numpy()
    close(raw[1], raw[0], "float32")
    other = CliRunner().invoke(
        app, [*score, "--vectors", str(tmp_path / "2026-11-28.parquet"), "--vectors-name", "clip"]
    )
    assert other.exit_code != 0
    assert "expected 'minilm-exported'" in other.output
