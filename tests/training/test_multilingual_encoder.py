"""An encoder with a multilingual tokenizer, Chinese texts, a prefix and cls pooling go the whole way."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
import torch

import recmem
import small_training
from recmem.serving.bundle import read_config
from recmem.text.encoder import EncoderConfig, TextEncoder

WORDS = {
    "network": "网络 传输 协议 客户端 加密",
    "drawing": "图形 图像 绘图 渲染 界面",
    "sound": "声音 音频 编码 播放 压缩",
}
PREFIX = "query: "


def items() -> pl.DataFrame:
    """The small training's items with Chinese titles, whose words are those of their theme."""
    words = pl.Series([WORDS[theme].split() for theme in small_training.items()["section"]])
    titles = [f"{theme_words[n % 5]}{theme_words[(n + 2) % 5]}开发库{n}" for n, theme_words in enumerate(words)]
    return small_training.items().select("item_id", title=pl.Series(titles))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XLM-R's architecture and kind of tokenizer (unigram over raw text), small and with random weights."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([*items()["title"], PREFIX, "passage: "] * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    place = tmp_path_factory.mktemp("xlm-r")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=64,
    ).save_pretrained(place)
    config = XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
        pad_token_id=1,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        XLMRobertaModel(config).save_pretrained(place)
    return place


def test_chinese_texts_get_vectors_of_their_own_and_a_prefix_changes_them(folder: Path) -> None:
    texts = items()["title"].to_list()
    spaces = {
        (pooling, prefix): TextEncoder.load(
            EncoderConfig(str(folder), pooling=pooling, max_tokens=32, text_prefix=prefix),
            device="cpu",
            dtype="float32",
        )
        for pooling in ("mean", "cls", "last")
        for prefix in ("", PREFIX)
    }
    assert len({encoder.fingerprint for encoder in spaces.values()}) == len(spaces)
    vectors = {setting: encoder.encode(texts) for setting, encoder in spaces.items()}
    for (pooling, prefix), found in vectors.items():
        assert len(found.unique(dim=0)) == len(texts)
        alone = torch.cat([spaces[pooling, prefix].encode([text]) for text in texts])  # without padding
        assert (found - alone).abs().max() < 1e-5
        assert (found - vectors[pooling, "" if prefix else PREFIX]).abs().max() > 0.01


def test_a_training_with_such_an_encoder_serves_what_it_was_trained_with(folder: Path, tmp_path: Path) -> None:
    result = recmem.train(
        items=items(),
        events=small_training.events(),
        out=tmp_path / "run",
        encoder=folder,
        pooling="cls",
        max_tokens=48,
        text_prefix=PREFIX,
        tune_encoder="off",
        config={"language": "zh"},
    )
    expected = EncoderConfig(str(folder), pooling="cls", max_tokens=48, text_prefix=PREFIX)
    assert read_config(result.bundle).encoder == expected
    model = recmem.load(result.bundle, device="cpu")
    found = model.recommend(["curl"], k=3)
    assert len(found) == 3
    unseen = pl.DataFrame({"user_id": ["curl"], "item_id": ["new"], "title": ["网络加密开发库"]})
    assert model.match(unseen)["match_raw"].is_finite().all()
    assert "--text-prefix" in result.report.read_text()
    # What the users of a Chinese shop read has no English word.
    first = found["item_id"][0]
    for text in (model.explain("curl", first).sentence(), *found["reason"]):
        assert re.search("因为它与「.*开发库|没有来自历史记录的理由", text)
        assert not re.search(r"\b(because|and|the|memory|match)\b", text)
    report = result.report.read_text()
    title = items().filter(pl.col("item_id") == first)["title"].item()
    assert f'<div class="item" lang="zh">{first} ({title})</div>' in report
