"""What a student would think of an épreuve that came after training: what they think of its like.

A ridge regression from words and traits to the student's scores (of any model), in its dual form:
one linear map for all students, so a new épreuve costs a row, and no training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from apps.recommender.ml.content import words_of
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.metadata import Field, Traits, fields_of

# Chosen on held-out items of MovieLens; docs/recommandation.md has the figures.
PENALTY = 5.0
WORDS = 0.3  # what a title alike in every word counts, beside 1 for a trait in common
MAX_ITEMS = 3000  # the system is solved for so many of the most popular


@dataclass(frozen=True)
class Placement:
    """Learnt from the n known items: s(new) = mean + k(new)·(K + λ/w)⁻¹·(s - mean).

    K [n, n] counts the traits that two items share and the cosine of their words; w is log(1 + the
    item's weight in training), so that what few students took teaches little. vocabulary: word to
    column, idf float32[W]. kept int64[n]: rows of the known items in their model.
    """

    kept: IntArray
    weights: FloatArray
    data: FloatArray
    indices: IntArray
    indptr: IntArray
    idf: FloatArray
    vocabulary: dict[str, int]
    fields: list[list[Any]]

    @classmethod
    def fit(cls, data: Dataset) -> Self | None:
        """From the training part; None where nothing is known of the items."""
        known = fields_of(data.item_traits)
        texts = data.item_texts or ("",) * data.n_items
        words = [words_of(text) for text in texts]
        if not known and not any(words):
            return None
        counts = np.asarray(data.train_matrix.sum(axis=0))[0]
        kept = np.argsort(-counts, kind="stable")[:MAX_ITEMS]
        kept = np.sort(kept[counts[kept] > 0]).astype(np.int64)
        vectorizer = TfidfVectorizer(analyzer=list, dtype=np.float32)
        if any(words):
            vectorizer.fit([words[row] for row in kept])
        vocabulary = dict(sorted(getattr(vectorizer, "vocabulary_", {}).items()))
        idf = vectorizer.idf_ if vocabulary else np.empty(0)
        traits = data.item_traits or ({},) * data.n_items
        fields = [[field.name, list(field.values)] for field in known]
        empty = cls(
            kept,
            np.log1p(counts[kept]).astype(np.float32),
            np.empty(0, np.float32),
            np.empty(0, np.int64),
            np.zeros(1, np.int64),
            np.asarray(idf, np.float32),
            {word: int(place) for word, place in vocabulary.items()},
            fields,
        )
        rows = empty._vectors([texts[row] for row in kept], [traits[row] for row in kept])
        return cls(
            kept,
            empty.weights,
            rows.data.astype(np.float32),
            rows.indices.astype(np.int64),
            rows.indptr.astype(np.int64),
            empty.idf,
            empty.vocabulary,
            fields,
        )

    def likeness(self, texts: Sequence[str], traits: Sequence[Traits]) -> FloatArray:
        """k of M new items to the known, float32[M, n]; worth keeping, for `scores` takes it."""
        likeness: FloatArray = (self._vectors(texts, traits) @ self._known.T).toarray()
        return likeness

    def scores(self, known: FloatArray, likeness: FloatArray) -> FloatArray:
        """A student's scores of the model's items float32[N] -> of the new ones, float32[M]."""
        scores = known[self.kept]
        mean = np.average(scores, weights=self.weights)
        placed: FloatArray = (mean + likeness @ cho_solve(self._system, scores - mean)).astype(
            np.float32
        )
        return placed

    def profiles(self, known: FloatArray, likeness: FloatArray) -> FloatArray:
        """`Servable.profiles` of the model's items [N, …] -> of the new ones, float32[M, …].

        That of an item which is like none is 0.
        """
        placed = likeness @ cho_solve(self._system, known[self.kept])
        lengths = np.linalg.norm(placed, axis=1, keepdims=True)
        profiles: FloatArray = (placed / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return profiles

    def _vectors(self, texts: Sequence[str], traits: Sequence[Traits]) -> csr_matrix:
        parts = [_present(Field(name, tuple(some)).matrix(traits)) for name, some in self.fields]
        parts.append(self._words(texts) * WORDS**0.5)
        return hstack(parts, format="csr")

    def _words(self, texts: Sequence[str]) -> csr_matrix:
        rows, columns = [], []
        for row, text in enumerate(texts):
            known = [self.vocabulary[word] for word in words_of(text) if word in self.vocabulary]
            rows += [row] * len(known)
            columns += known
        shape = len(texts), len(self.vocabulary)
        counts = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        weighted = counts.multiply(self.idf[None]).tocsr() if len(self.idf) else counts
        lengths = np.sqrt(np.asarray(weighted.power(2).sum(axis=1)))
        return csr_matrix(weighted.multiply(1 / np.where(lengths > 0, lengths, 1)))

    @cached_property
    def _known(self) -> csr_matrix:
        width = len(self.vocabulary) + sum(len(some) for _, some in self.fields)
        return csr_matrix((self.data, self.indices, self.indptr), shape=(len(self.kept), width))

    @cached_property
    def _system(self) -> Any:
        kernel = (self._known @ self._known.T).toarray()
        kernel.flat[:: len(kernel) + 1] += PENALTY / self.weights
        return cho_factor(kernel)

    def tensors(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Its arrays, and what is no array, as JSON takes it."""
        arrays = {name: value for name, value in vars(self).items() if name in _ARRAYS}
        return arrays, {"vocabulary": self.vocabulary, "fields": self.fields}

    @classmethod
    def restored(cls, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Self:
        """What `tensors` gave, at work again."""
        return cls(**{name: arrays[name] for name in _ARRAYS}, **values)


_ARRAYS = ("kept", "weights", "data", "indices", "indptr", "idf")


def _present(matrix: csr_matrix) -> csr_matrix:
    matrix.data[:] = 1
    return matrix
