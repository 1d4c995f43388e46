"""An encoder of three small layers and random weights, in a folder as Hugging Face saves it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch

from recmem.text.encoder import EncoderConfig, TextEncoder

SENTENCE = "alsa audio cairo client codec curl encoding file for gtk http image library network of sound tls url"
WORDS = SENTENCE.split()
DIM = 16
LAYERS = 3


@functools.cache
def tiny_folder() -> Path:
    """Made once per process: tests must not change it."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = Path(tempfile.mkdtemp(prefix="recmem-tiny-encoder-"))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(f"##{letter}" for letter in "abcdefgh")]
    vocabulary += list("abcdefghijklmnopqrstuvwxyz0123456789-")
    vocabulary += [f"##{letter}" for letter in "ijklmnopqrstuvwxyz0123456789"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=DIM,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        BertModel(config).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


def tiny_encoder() -> TextEncoder:
    """The encoder of `tiny_folder` in float32: a new one at every call."""
    return TextEncoder.load(EncoderConfig(str(tiny_folder()), max_tokens=32), device="cpu", dtype="float32")
