"""Names of topics: words that tell their texts from the others, also in scripts without spaces."""

from __future__ import annotations

import numpy as np

from training.monitoring.topic_names import topic_words

ENGLISH = [
    "red wine from france",
    "white wine from spain",
    "wine and cheese",
    "running shoes",
    "shoes for rain",
    "shoes",
]


def test_the_words_of_a_topic_are_those_that_the_others_lack() -> None:
    topics = np.array([0, 0, 0, 1, 1, 1])
    names = topic_words(ENGLISH, topics, 3)
    assert names[0][0] == "wine" or "from" in names[0]
    assert names[1] == ("shoes",)
    assert names[2] == ()


def test_pairs_of_chinese_characters_are_drawn_out_to_words() -> None:
    texts = [f"特朗普{end}" for end in ("访问欧洲", "弹劾听证", "发表演讲", "回应记者")]
    texts += [f"{begin}总决赛" for begin in ("篮球", "冰球", "网球", "足球")]
    names = topic_words(texts, np.repeat([0, 1], 4), 2)
    assert names[0] == ("特朗普",)
    # Balls differ, the final is in all; "球总" is no word of its own beside the longer one that holds it.
    assert "球总决赛" in names[1]


def test_names_do_not_depend_on_the_order_of_the_texts() -> None:
    topics = np.array([0, 0, 0, 1, 1, 1])
    order = np.array([5, 2, 4, 0, 3, 1])
    shuffled = topic_words([ENGLISH[row] for row in order], topics[order], 2)
    assert shuffled == topic_words(ENGLISH, topics, 2)


def test_texts_without_a_common_word_have_no_name() -> None:
    assert topic_words(["one", "two", ""], np.array([0, 1, 1]), 2) == [(), ()]
