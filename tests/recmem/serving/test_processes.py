"""A model in several processes: a fork of a process that has loaded one is refused in words and at once."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import recmem
from debian_model import trained_model
from feature_store import DataError
from forked_child import LIMIT_S, in_child
from recmem.serving.model import Model

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
TOLD = "process: expected one that loads recmem's models and stores itself, got process "
PAIR = pl.DataFrame({"user_id": ["curl"], "item_id": ["libssl-dev"]})
PAIR_IN_PANDAS = PAIR.to_pandas()
PAIR_IN_ARROW = PAIR.to_arrow()
EVENT = PAIR.with_columns(timestamp=pl.lit("2031-01-01"))

_loaded: list[Model] = []
"""The parent's model, as a web server's master process holds it."""


@pytest.fixture(scope="module")
def model() -> Model:
    model = trained_model().model()
    model.rank(PAIR)  # the pools of torch and LightGBM have begun, too
    return model


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.rank(PAIR),
        lambda model: model.match(PAIR),
        lambda model: model.rank_with_report(PAIR_IN_PANDAS),
        lambda model: model.match_with_report(PAIR_IN_ARROW),
        lambda model: model.recommend(["curl"]),
        lambda model: model.recommend_with_report(["curl"] * 100),
        lambda model: model.explain("curl", "libssl-dev"),
        lambda model: model.memory("curl"),
        lambda model: model.match_texts("curl", ["sound"]),
        lambda model: model.match_text_frame(PAIR.rename({"item_id": "text"})),
        lambda model: model.search_memory("curl", "sound"),
        lambda model: model.title("libssl-dev"),
        lambda model: model.observe(EVENT),
        lambda model: recmem.load(trained_model().bundle),
        lambda model: recmem.load("models:/recmem@champion"),
        lambda model: Model.load(trained_model().bundle, store=trained_model().store),
        lambda model: recmem.train(PAIR, EVENT, out="nowhere"),
    ],
)
def test_every_call_in_a_fork_is_refused(model: Model, call: Callable[[Model], object]) -> None:
    assert in_child(lambda: call(model)).startswith(f"DataError: {TOLD}")


def test_a_pool_of_forks_hands_the_refusal_to_its_parent(model: Model) -> None:
    _loaded[:] = [model]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python: the process has threads
        with multiprocessing.get_context("fork").Pool(2) as pool:
            answers = [pool.apply_async(_rank_in_worker) for _ in range(4)]
            for answer in answers:
                with pytest.raises(DataError, match=TOLD):
                    answer.get(timeout=LIMIT_S)
    assert model.rank(PAIR).height == 1


def _rank_in_worker() -> Any:
    return _loaded[0].rank(PAIR)


def test_a_lock_that_another_thread_held_at_the_fork_does_not_matter(model: Model) -> None:
    with model._observing:
        assert in_child(lambda: model.observe(EVENT)).startswith(f"DataError: {TOLD}")


def test_workers_that_were_forked_after_the_import_alone_load_and_rank() -> None:
    script = """
        import os, sys
        import polars as pl
        import recmem
        recmem.load, recmem.Model, recmem.DataError  # with all that they import
        if os.fork():
            os.wait()
        else:
            pair = pl.DataFrame({"user_id": ["curl"], "item_id": ["libssl-dev"]})
            print(recmem.load(sys.argv[1], store=sys.argv[2], device="cpu").rank(pair).height, flush=True)
        """
    trained = trained_model()
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), trained.bundle, trained.store]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "1"
