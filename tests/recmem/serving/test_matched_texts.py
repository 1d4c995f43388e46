"""Texts that are no items: the scores of an item with the same text, as of a time, with reasons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from debian_model import model_of, trained_model
from feature_store import DataError
from feature_store.file_digest import file_digest
from recmem.serving.matched_texts import TEXT_OUTPUTS
from recmem.serving.model import Model
from recmem.text.item_vectors import ItemVectors
from tolerances import close

ANSWERS = ["Use a library for TLS connections.", "Draw it with Cairo", "Play the sound with ALSA", "Zip the file"]


@pytest.fixture(scope="module")
def user() -> str:
    return str(trained_model().events["user_id"].mode().sort()[0])


def files_of(folder: Path) -> dict[str, str]:
    """The digest of every file."""
    return {str(path): file_digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_text_scores_as_the_item_with_that_text(model: Model, user: str) -> None:
    catalogue = model.dataset.catalogue
    found = model.match_texts(user, catalogue.texts)
    stored = pl.DataFrame({"user_id": user, "item_id": catalogue.ids})
    new = stored.select("user_id", item_id=pl.format("new {}", "item_id"), title=pl.Series(catalogue.texts))
    as_new = model.match(new)
    # The store's vectors of this test were encoded in float32.
    as_stored = model.match(stored)
    for name in TEXT_OUTPUTS:
        close(found[name].to_numpy(), as_new[name].to_numpy(), "same_rows")
        close(found[name].to_numpy(), as_stored[name].to_numpy(), "bfloat16")
    assert found["text"].to_list() == catalogue.texts


def test_scores_do_not_depend_on_the_other_texts_their_order_or_repetition(model: Model, user: str) -> None:
    alone = [model.match_texts(user, [text])["match_raw"][0] for text in ANSWERS]
    mixed = [3, 1, 1, 0, 2, 3]
    together = model.match_texts(user, [ANSWERS[number] for number in mixed])
    close(together["match_raw"].to_numpy(), [alone[number] for number in mixed], "same_rows")
    assert together["match_score"].is_between(0, 1).all()


def test_a_reason_names_the_memories_that_add_most_and_all_parts_add_up(model: Model, user: str) -> None:
    found = model.match_texts(user, ANSWERS, explain=2)
    for row in found.iter_rows(named=True):
        parts = json.loads(row["reasons"])["match_raw"]
        close(sum(part["contribution"] for part in parts), row["match_raw"], "explanation")
        best = max(parts[1:-1], key=lambda part: part["contribution"])
        assert row["reason"].startswith(f"because it builds on {best['part']} ({best['contribution']:+.2f})")
    assert "libssl-dev" in found["reason"][0]
    assert found["match_reason_1"][0].startswith("libssl-dev")


def test_nothing_at_or_after_the_time_changes_a_score(user: str) -> None:
    known = pl.max_horizontal("timestamp", "available_at")
    events = trained_model().events.sort(known)
    time = events.filter(pl.col("user_id") == user)["timestamp"].sort()[4]
    past = events.filter(known <= time, pl.col("timestamp") < time)
    whole = model_of(events).match_texts(user, ANSWERS, timestamp=time)
    cut = model_of(past).match_texts(user, ANSWERS, timestamp=time)
    assert whole.equals(cut)
    now = model_of(events).match_texts(user, ANSWERS)
    assert (now["match_raw"] != whole["match_raw"]).all()


def test_an_unknown_user_and_one_before_the_first_event_get_the_base_score(model: Model, user: str) -> None:
    first = trained_model().events["timestamp"].min()
    nobody = model.match_texts("nobody", ANSWERS)
    early = model.match_texts(user, ANSWERS, timestamp=first)
    vectors = model._embedding.of_texts([text.rstrip(".") for text in ANSWERS])  # type: ignore[union-attr]
    with torch.inference_mode():
        own = model.matcher.module.tables(vectors)
        base = (own.prior + own.null_value.sum(dim=1)).numpy()
    close(nobody["match_raw"].to_numpy(), base, "float32")
    close(early["match_raw"].to_numpy(), base, "float32")
    assert nobody["unknown_user"].all()
    assert not early["unknown_user"].any()
    assert set(nobody["reason"]) | set(early["reason"]) == {"no reason from memory: the user's memory is empty"}
    assert (nobody["similarity_max"] == 0).all()


def test_a_frame_of_several_users_and_times_gives_each_row_what_it_gets_alone(model: Model, user: str) -> None:
    time = trained_model().events["timestamp"].quantile(0.5)
    rows = [(user, ANSWERS[0], None), ("nobody", ANSWERS[1], None), (user, ANSWERS[0], time), (user, ANSWERS[2], None)]
    frame = pl.DataFrame(rows, schema=["user_id", "text", "timestamp"], orient="row").with_row_index("mine")
    scored = model.match_text_frame(frame)
    alone = [model.match_texts(user_id, [text], timestamp=at)["match_raw"][0] for user_id, text, at in rows]
    close(scored.frame["match_raw"].to_numpy(), alone, "same_rows")
    assert scored.frame.columns[:4] == ["mine", "user_id", "text", "timestamp"]
    assert scored.frame["unknown_user"].to_list() == [False, True, False, False]
    assert scored.unmatched.unknown_users == 1
    assert scored.n_in_sample == 1
    for given in (frame.to_pandas().set_index("mine"), frame.to_arrow()):
        same = model.match_text_frame(given).frame
        assert type(same) is type(given)
        raw = same["match_raw"].to_numpy() if isinstance(same, pd.DataFrame) else same.column("match_raw").to_numpy()
        assert np.array_equal(raw, scored.frame["match_raw"].to_numpy())


def test_nothing_is_written_and_a_text_is_encoded_once(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_of(trained_model().folder)
    model = trained_model().model()
    model.match_texts(user, ANSWERS)
    encoded: list[str] = []
    encode = model._embedding._encoder.encode  # type: ignore[union-attr]

    def counted(texts: list[str]) -> torch.Tensor:
        encoded.extend(texts)
        return encode(texts)

    monkeypatch.setattr(model._embedding._encoder, "encode", counted)  # type: ignore[union-attr]
    model.match_texts("nobody", [*ANSWERS, "A new one"])
    assert encoded == ["A new one"]
    assert files_of(trained_model().folder) == before
    assert "A new one" not in model.dataset.catalogue.texts


def test_no_texts_are_no_rows(model: Model, user: str) -> None:
    found = model.match_texts(user, [])
    assert (found.height, found.columns[0], found.schema["match_raw"]) == (0, "text", pl.Float32)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("one text", "texts: expected a list of texts, got the text 'one text'. Put it in a list"),
        ([1, 2], "texts.text: expected texts, got a column of Int64"),
        (["a", 1], "texts: expected a list of texts, got values of other types"),
        (["half a smile \ud83d"], r"texts: expected text in UTF-8, got half of a surrogate pair\. Replace it"),
        (["a", None, " "], r"texts.text: expected a text, got null or no words \(2 rows, e.g. row 1, 2"),
    ],
)
def test_what_is_no_text_is_refused(model: Model, user: str, texts: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        model.match_texts(user, texts)


def test_a_model_that_reads_vectors_of_items_is_refused_with_what_to_do() -> None:
    model = trained_model().model()
    model._embedding = ItemVectors.empty("clip", 384)
    with pytest.raises(DataError, match=r"one that reads vectors of 'clip' and no texts\. .*\(model\.add_vectors\)"):
        model.match_texts("curl", ANSWERS)
    with pytest.raises(DataError, match=r"one that reads vectors of 'clip'"):
        model.search_memory("curl", ANSWERS[0])
