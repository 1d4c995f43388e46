"""Whatever way a text takes to its tokens, they are those that transformers gives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from recmem.text import text_tokenizer
from recmem.text.text_tokenizer import TextTokenizer, library_threads
from tiny_encoder import WORDS, tiny_encoder

MAX_TOKENS = 12
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PIECES = st.sampled_from([*WORDS, "x", "", "<mask>", "[MASK]", "É́", "curl's"]) | st.text(max_size=3)
TEXTS = ["curl library for http", "", "  sound  codec ", "Curl's É́tude[MASK] x<mask>y", "gtk " * 40, "墨盒 cairo"]


def word_pieces() -> Any:
    return tiny_encoder().tokenizer


def unigram(*, split: bool) -> Any:
    """As XLM-R has it, e5 too: with `split`, a word's pieces depend on nothing beside it."""
    pieces = [(piece, -1.0 - place / 7) for place, piece in enumerate(["▁", *(f"▁{word}" for word in WORDS), *LETTERS])]
    backend = Tokenizer(models.Unigram([(token, 0.0) for token in SPECIAL] + pieces, unk_id=1))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    space = pre_tokenizers.Metaspace(prepend_scheme="always", split=split)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), space]) if split else space
    return _with_special(backend)


def byte_level() -> Any:
    """As RoBERTa has it: a space belongs to the word behind it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate([*SPECIAL, *alphabet, "cu", "Ġc", "Ġcu"])}
    backend = Tokenizer(models.BPE(vocabulary, [("c", "u"), ("Ġ", "c"), ("Ġ", "cu")], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return _with_special(backend)


def _with_special(backend: Any) -> Any:
    backend.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
        mask_token="<mask>",
    )  # fmt: skip


class Prepared(PreTrainedTokenizerFast):
    """A tokenizer of a class that changes texts before the library reads them."""

    def __call__(self, text: list[str], **options: Any) -> Any:  # type: ignore[override]
        return super().__call__([some.replace("x", "curl") for some in text], **options)


def prepared() -> Any:
    made = unigram(split=True)
    return Prepared(tokenizer_object=made.backend_tokenizer, pad_token="<pad>")


MAKERS: dict[str, tuple[Callable[[], Any], bool]] = {
    "word pieces": (word_pieces, True),
    "unigram by words": (functools.partial(unigram, split=True), True),
    "unigram of whole texts": (functools.partial(unigram, split=False), False),
    "byte level": (byte_level, False),
    "a class of its own": (prepared, False),
}


@functools.cache
def made(kind: str) -> tuple[TextTokenizer, Any]:
    """The same one for all examples, so that its words are partly known, and one of transformers to compare with."""
    maker, _ = MAKERS[kind]
    return TextTokenizer(maker(), max_tokens=MAX_TOKENS), maker()


def by_transformers(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    readable = [text.encode("utf-8", "replace").decode() for text in texts]
    ids: list[list[int]] = tokenizer(readable, truncation=True, max_length=MAX_TOKENS)["input_ids"]
    return ids


@pytest.mark.parametrize("kind", MAKERS)
def test_only_a_tokenizer_that_splits_at_spaces_goes_by_words(kind: str) -> None:
    assert (made(kind)[0]._words is not None) == MAKERS[kind][1]


@pytest.mark.parametrize("kind", MAKERS)
@given(texts=st.lists(st.lists(PIECES, max_size=16).map(" ".join), min_size=1, max_size=8))
@example(texts=TEXTS)
@example(texts=["\ud83d x", "a\u0301 \u0301a", "\u0600 \u0301", "a\u00a0b \u3000 c", "\u00b4a x"])
@example(texts=["curl " * MAX_TOKENS + "a", "curl " * (MAX_TOKENS - 2), " " * 40 + "curl", "\u200b \x00 " * 20 + "gtk"])
def test_tokens_are_those_that_transformers_gives(kind: str, texts: list[str]) -> None:
    tokenizer, transformers = made(kind)
    for _ in range(3):  # words are noted, learned, and then known
        assert tokenizer.tokens_of(texts).to_lists() == by_transformers(transformers, texts)


@pytest.mark.parametrize("kind", MAKERS)
def test_slices_and_forgotten_words_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tokenizer, "_SLICE_TEXTS", 2)
    monkeypatch.setattr("recmem.text.word_tokens.MAX_WORDS", 5)
    maker, _ = MAKERS[kind]
    tokenizer = TextTokenizer(maker(), max_tokens=MAX_TOKENS)
    texts = [*TEXTS, *WORDS, " ".join(WORDS[:6]), " ".join(WORDS[6:])]
    for _ in range(4):
        assert tokenizer.tokens_of(texts).to_lists() == by_transformers(maker(), texts)


def test_a_known_word_is_not_tokenized_again() -> None:
    tokenizer = TextTokenizer(word_pieces(), max_tokens=MAX_TOKENS)
    texts = ["curl curl gtk gtk curl gtk"] * 20
    expected = tokenizer.tokens_of(texts).to_lists()
    tokenizer._backend = None  # and neither is a whole text
    tokenizer._tokenizer = None
    assert tokenizer.tokens_of(["gtk curl", *texts]).to_lists()[1:] == expected


def test_a_prefix_stands_before_every_text() -> None:
    tokenizer, transformers = made("word pieces")
    with_prefix = tokenizer.tokens_of(["gtk", "", "curl"], prefix="sound codec ").to_lists()
    assert with_prefix == by_transformers(transformers, ["sound codec gtk", "sound codec ", "sound codec curl"])


def test_truncation_on_the_left_keeps_the_last_tokens() -> None:
    tokenizer = word_pieces()
    tokenizer.truncation_side = "left"
    (cut,) = TextTokenizer(tokenizer, max_tokens=MAX_TOKENS).tokens_of(["gtk " * 20 + "curl"]).to_lists()
    assert cut == by_transformers(tokenizer, ["gtk " * 20 + "curl"])[0]
    assert cut[-2] == tokenizer.convert_tokens_to_ids("curl")


def test_settings_that_others_leave_in_the_tokenizer_change_nothing() -> None:
    tokenizer = word_pieces()
    ours = TextTokenizer(tokenizer, max_tokens=MAX_TOKENS)
    expected = by_transformers(word_pieces(), TEXTS)
    for _ in range(3):
        tokenizer(["gtk"], padding="max_length", truncation=True, max_length=5)
        assert ours.tokens_of(TEXTS).to_lists() == expected


def test_several_threads_get_the_tokens_that_one_gets() -> None:
    tokenizer = TextTokenizer(word_pieces(), max_tokens=MAX_TOKENS)
    texts = [f"{word} {number} {word}" * 5 for word in WORDS for number in range(20)]
    expected = by_transformers(word_pieces(), texts)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: tokenizer.tokens_of(texts).to_lists(), range(8)):
            assert found == expected


def test_the_librarys_threads_beside_pythons_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tokenizer, "_SLICE_TEXTS", 3)
    tokenizer = TextTokenizer(word_pieces(), max_tokens=MAX_TOKENS, n_threads=text_tokenizer.MANY_THREADS)
    texts = [f"{word} {number} {word}" * (number % 4) for word in WORDS for number in range(20)]
    expected = by_transformers(word_pieces(), texts)
    for _ in range(3):
        assert tokenizer.tokens_of(texts).to_lists() == expected


def test_what_fails_in_the_librarys_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tokenizer, "_SLICE_TEXTS", 1)
    tokenizer = TextTokenizer(word_pieces(), max_tokens=MAX_TOKENS, n_threads=text_tokenizer.MANY_THREADS)
    tokenizer._second_backend = object()
    with pytest.raises(AttributeError):
        tokenizer.tokens_of(["gtk curl"] * 500)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "7"}, 1),
        ({"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "7"}, 7),
        ({"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": ""}, 3),
    ],
)
def test_the_librarys_threads_follow_its_environment(
    environment: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    assert library_threads() == expected
