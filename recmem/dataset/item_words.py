"""The words of the items' texts, weighted by TF-IDF: what the item-item model `ease_text` compares texts by.

Words rather than the encoder's vectors: they are there without encoding anything, and in `ease_text` they were as good
(docs/log.md).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.metadata import version

import numpy as np
import scipy.sparse as sp

from feature_store.point_in_time.covisitation_cache import source_digest

FEWEST_ITEMS = 2
"""Items that must have a word; one that a single item has connects it with no other."""
LARGEST_SHARE = 0.5
"""Of all items; a word that more of them have says little, and is left out."""
LONGEST_TEXT = 5000
"""Characters of a text that are read."""

_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Scripts written without spaces between words: Thai, Lao, Burmese, Khmer, hiragana, katakana, Chinese characters."""
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Accents and vowel signs, which `\\w` leaves out though they stand within words: combining accents, Hebrew and Arabic
points, and the scripts of India as a whole."""
_TOKEN = re.compile(rf"[{_UNSPACED}]+|(?:[^\W{_UNSPACED}]|[{_MARKS}])+")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


def item_words(texts: Sequence[str]) -> sp.csr_matrix:
    """Sparse float32[item, word]: TF-IDF weights (1 + log tf) of each text's words, rows of length 1.

    See `words_and_weights`.
    """
    return words_and_weights(texts)[1]


def words_and_weights(texts: Sequence[str]) -> tuple[list[str], sp.csr_matrix]:
    """The words of the texts that count, and their TF-IDF weights: sparse float32[item, word], rows of length 1.

    A text without a word that counts gets an empty row. Words are runs of letters, digits and underscores in lower
    case; of scripts without spaces, each pair of neighbouring characters counts as a word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # slow to import

    vectorizer = TfidfVectorizer(
        analyzer=lambda text: list(_words(text)),
        min_df=FEWEST_ITEMS,
        max_df=LARGEST_SHARE,
        sublinear_tf=True,
        dtype=np.float32,
    )
    try:
        weights: sp.csr_matrix = vectorizer.fit_transform(texts)
    except ValueError:  # how scikit-learn says that no word is left
        return [""], sp.csr_matrix((len(texts), 1), dtype=np.float32)
    return vectorizer.get_feature_names_out().tolist(), sp.csr_matrix(weights)


def describe_words(texts: Sequence[str]) -> str:
    """A digest that changes whenever `item_words` of these texts might: with the texts, and with the code."""
    code = f"{source_digest(sys.modules[__name__])} {version('scikit-learn')} {unicodedata.unidata_version}"
    digest = sha256(code.encode())
    for text in texts:
        content = text[:LONGEST_TEXT].encode("utf-8", "surrogatepass")
        digest.update(f"\n{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def read_text(text: str) -> str:
    """The text as its words are read from it: its beginning in lower case, accents as parts of their letters (NFC)."""
    return unicodedata.normalize("NFC", text[:LONGEST_TEXT]).lower()


def is_unspaced(characters: str) -> bool:
    """Whether the text begins with a character of a script that is written without spaces between words."""
    return _IS_UNSPACED.match(characters) is not None


def _words(text: str) -> Iterator[str]:
    for token in _TOKEN.findall(read_text(text)):
        if _IS_UNSPACED.match(token) and len(token) > 1:
            yield from (token[begin : begin + 2] for begin in range(len(token) - 1))
        else:
            yield token
