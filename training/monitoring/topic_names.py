"""Names of topics: the words that tell a group of texts from the others, in any script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from feature_store.arrays import IntArray
from recmem.dataset.item_words import is_unspaced, read_text, words_and_weights

N_WORDS = 3
"""Words in a name."""
_LONGEST = 8
"""Characters of a word that was put together from pairs of them."""
_MOSTLY = 0.6
"""A word goes on by a character that follows it in so many of the texts that have it."""


def topic_words(texts: Sequence[str], topics: IntArray, n_topics: int) -> list[tuple[str, ...]]:
    """Up to `N_WORDS` telling words for each topic, the most telling first; `topics` has that of each text.

    Words are ranked by their mean TF-IDF weight in the topic less that in the other texts. Scripts without spaces are
    read in pairs of characters (`item_words`): a pair is drawn out to the longest string that nearly always holds it
    ("特朗" to "特朗普"), so that names can be read without a dictionary.
    """
    words, weights = words_and_weights(texts)
    total = np.asarray(weights.sum(axis=0)).ravel()
    names = []
    for topic in range(n_topics):
        is_own = topics == topic
        n_own = int(is_own.sum())
        own = np.asarray(weights[is_own].sum(axis=0)).ravel()
        telling = own / max(n_own, 1) - (total - own) / max(len(texts) - n_own, 1)
        # Equal words in the order of the alphabet, as the vectorizer has them.
        order = np.argsort(-telling, kind="stable")[: 10 * N_WORDS].tolist()
        ranked = [words[place] for place in order if telling[place] > 0]
        names.append(_chosen(ranked, [read_text(texts[row]) for row in np.flatnonzero(is_own).tolist()]))
    return names


def _chosen(ranked: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    """The first words, pairs of characters drawn out, without those that are parts of one before."""
    chosen: list[str] = []
    for word in ranked:
        whole = _drawn_out(word, texts) if is_unspaced(word) else word
        # Plurals and compounds of a word say nothing new: "library", "libraries".
        if not any(whole in other or other in whole or word in other for other in chosen):
            chosen.append(whole)
        if len(chosen) == N_WORDS:
            break
    return tuple(chosen)


def _drawn_out(word: str, texts: Sequence[str]) -> str:
    """The word with the characters that nearly always stand before and behind it in the texts."""
    while len(word) < _LONGEST:
        having = [text for text in texts if word in text]
        behind = Counter(_neighbour(text, text.index(word) + len(word)) for text in having)
        before = Counter(_neighbour(text, text.index(word) - 1) for text in having)
        choices = [(count, word + character) for character, count in behind.items() if character]
        choices += [(count, character + word) for character, count in before.items() if character]
        # Of equal counts the one that sorts last, so that it does not depend on the order of the texts.
        count, longer = max(choices, default=(0, word))
        if len(having) < 2 or count < _MOSTLY * len(having):
            break
        word = longer
    return word


def _neighbour(text: str, place: int) -> str:
    """The character there, if there is one and it is of a script without spaces."""
    character = text[place : place + 1] if place >= 0 else ""
    return character if is_unspaced(character) else ""
