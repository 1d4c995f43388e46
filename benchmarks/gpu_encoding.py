"""Strings to vectors on a GPU: beside transformers as it is commonly used, and stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.timing import Row, compare
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.text_tokenizer import TextTokenizer, library_threads
from recmem.text.token_batches import pool_tokens

N_WORDS = (20, 100)
"""Random words of a text: from the whole vocabulary, where those of real texts repeat."""
WORDS = 400_000
"""Words of all texts that every way encodes."""
STEADY_WORDS = 2_000_000
"""Words of all texts that recmem alone encodes: nothing overlaps with the first batches of a call."""
FULL_BATCH = 131_072
"""Tokens of a batch for the model alone."""


def encoding_rows(device: torch.device, folder: Path, n_words: int) -> Iterator[list[Row]]:
    """Two tables for texts of this length."""
    ours = TextEncoder.load(EncoderConfig(name=str(folder)), device=device.type)
    plain = TextEncoder.load(EncoderConfig(name=str(folder)), device=device.type, dtype="float32")
    texts = _texts(ours, STEADY_WORDS // n_words, n_words)
    yield _beside_transformers(ours, plain, texts[: WORDS // n_words], n_words)
    yield _stages(ours, texts, n_words)


def _texts(encoder: TextEncoder, n_texts: int, n_words: int) -> list[str]:
    words = sorted(word for word in encoder.tokenizer.get_vocab() if word.isalpha())
    picked = torch.randint(len(words), (n_texts, n_words), generator=torch.Generator().manual_seed(0))
    return [" ".join(words[place] for place in row) for row in picked.tolist()]


def _beside_transformers(ours: TextEncoder, plain: TextEncoder, texts: list[str], n_words: int) -> list[Row]:
    """As sentence-transformers encodes by default, and tuned; the vectors are compared first."""

    def by_hand(encoder: TextEncoder, batch: int) -> Tensor:
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        vectors = torch.empty((len(texts), encoder.dim))
        with torch.inference_mode():
            for begin in range(0, len(texts), batch):
                rows = order[begin : begin + batch]
                tokens = encoder.tokenizer([texts[row] for row in rows], padding=True, return_tensors="pt")
                tokens = tokens.to(encoder.device)
                hidden = encoder.model(**tokens).last_hidden_state
                vectors[rows] = pool_tokens(hidden, tokens["attention_mask"].bool(), pooling="mean").cpu()
        return vectors

    lowest = float(torch.nn.functional.cosine_similarity(ours.encode(texts), by_hand(plain, 32)).min())
    if lowest < 0.999:
        raise ArithmeticError(f"vectors: expected the same directions, got a cosine of {lowest}. Not timed.")
    ways: dict[str, Callable[[], object]] = {
        "batches of 32, float32": lambda: by_hand(plain, 32),
        "batches of 1024, bfloat16": lambda: by_hand(ours, 1024),
        "recmem": lambda: ours.encode(texts),
    }
    shape = f"{len(texts):,} texts of {n_words} random words"
    rows = compare("encoding", shape, ways, amount=len(texts), unit="texts/s", rounds=3)
    return [*rows[:-1], replace(rows[-1], note=f"lowest cosine {lowest:.6f}")]


def _stages(encoder: TextEncoder, texts: list[str], n_words: int) -> list[Row]:
    """The model on one full batch that lies on the device, tokens of strings, and both: strings to vectors."""
    shape = f"{len(texts):,} texts of {n_words} random words"
    tokenizer = TextTokenizer(encoder.tokenizer, max_tokens=encoder.config.max_tokens, n_threads=library_threads())
    some = tokenizer.tokens_of(texts[:1])
    n_rows = max(1, FULL_BATCH // len(some.ids))
    token_ids = torch.from_numpy(some.ids).long().expand(n_rows, -1).contiguous().to(encoder.device)
    mask = torch.ones_like(token_ids)

    def model_alone() -> None:
        with torch.inference_mode():
            encoder.model(input_ids=token_ids, attention_mask=mask)

    (alone,) = compare(
        "encoding by stages", shape, {"model alone, a full batch": model_alone}, amount=n_rows, unit="texts/s"
    )
    ways: dict[str, Callable[[], object]] = {
        "transformers' tokenizer": lambda: encoder.tokenizer(texts, truncation=True, max_length=256),
        "strings to tokens": lambda: tokenizer.tokens_of(texts),
        "strings to vectors": lambda: encoder.encode(texts),
    }
    rows = compare("encoding by stages", shape, ways, amount=len(texts), unit="texts/s", rounds=3)
    share = f"{rows[-1].rate / alone.rate:.0%} of the model alone"
    rows[-1] = replace(rows[-1], note=share)
    return [alone, *(replace(row, ratio=row.rate / alone.rate) for row in rows)]
