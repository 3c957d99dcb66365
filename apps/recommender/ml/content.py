"""Likeness by text and metadata: for the épreuves that no model has met."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from apps.recommender.ml.data_loader import FloatArray, IntArray

# Of the cosine, what the metadata weigh; the words weigh the rest.
CATEGORY_WEIGHT = 0.4

# Words without meaning in titles, as they stand once normalised (no accent, no capital).
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a ai au aux avec c ce ces cet cette d dans de des du elle en est et eu il ils j je l la "
        "le les leur leurs lui m ma mais me meme mes mon n ne nos notre nous on ou par pas pour qu "
        "que qui s sa sans se ses son sont sur t ta te tes ton tu un une vos votre vous y",
    )
)


class ContentIndex:
    """Unit vectors whose dot product is a cosine: TF-IDF of words and pairs of words, and metadata.

    A category (`("ANALYSE", "L2", …)`) counts the more, the fewer items share it. An item without
    any word (or without any category) is compared by the other half alone.
    """

    def __init__(self, item_ids: IntArray, vectors: csr_matrix) -> None:
        self._item_ids = item_ids
        self._vectors = vectors
        self._row = {int(item_id): row for row, item_id in enumerate(item_ids)}

    @classmethod
    def fit(
        cls,
        item_ids: Sequence[int] | IntArray,
        texts: Sequence[str],
        categories: Sequence[tuple[str, ...]],
    ) -> Self:
        """item_ids, texts, categories: one of each per item, texts already normalised."""
        words = _tf_idf([words_of(text) for text in texts])
        tags = _tf_idf([list(one) for one in categories])
        halves = [words * (1 - CATEGORY_WEIGHT) ** 0.5, tags * CATEGORY_WEIGHT**0.5]
        return cls(np.asarray(item_ids, dtype=np.int64), _unit_rows(hstack(halves, format="csr")))

    def knows(self, item_id: int) -> bool:
        return item_id in self._row

    def similar(self, item_id: int) -> tuple[IntArray, FloatArray]:
        """All other item_ids [n - 1] in the given order and their cosines, in [0, 1].

        Raises KeyError for an item that was not given.
        """
        row = self._row[item_id]
        cosines = (self._vectors @ self._vectors[row].T).toarray()[:, 0]
        likeness = np.clip(cosines, 0, 1).astype(np.float32)
        return np.delete(self._item_ids, row), np.delete(likeness, row)


def words_of(text: str) -> list[str]:
    """Words and pairs of neighbours; digits count, for « Analyse 1 » is not « Analyse 2 »."""
    words = [word for word in re.findall(r"\w+", text) if word not in STOP_WORDS]
    return words + [f"{a} {b}" for a, b in pairwise(words)]


def _tf_idf(tokens: list[list[str]]) -> csr_matrix:
    """TF-IDF rows of length 1 (0 where there is no token), [n, vocabulary]."""
    if not any(tokens):
        return csr_matrix((len(tokens), 0), dtype=np.float32)
    return TfidfVectorizer(analyzer=list, dtype=np.float32).fit_transform(tokens)


def _unit_rows(vectors: csr_matrix) -> csr_matrix:
    lengths = np.sqrt(vectors.power(2).sum(axis=1)).A1
    return diags(1 / np.where(lengths > 0, lengths, 1)) @ vectors
