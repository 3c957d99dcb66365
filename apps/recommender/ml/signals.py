"""What is said of a student and an épreuve before any network: one small class per signal.

A signal learns in `fit` from the training part of a log, and then says one or several named
columns of every épreuve for a batch of students. To add one: write its class here, with
`@signal`. Its arrays are saved and loaded by themselves (`tensors`, `restored`).

Legend: B students, N items, C columns, D dimensions, V values of a field.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import csr_matrix, hstack, vstack

from apps.recommender.ml import linear, pulse
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.metadata import Field, Traits, fields_of


@dataclass(frozen=True)
class Students:
    """Who is scored: confidences of what they did, float32[B, N], and what is known of each.

    seen_too: score an épreuve of the history as if it were not in it; else its score means nothing.
    """

    histories: csr_matrix
    traits: tuple[Traits, ...]
    seen_too: bool = False

    def __len__(self) -> int:
        return len(self.traits)

    @classmethod
    def of(cls, data: Dataset, user_idx: IntArray) -> Self:
        """These users of a log, with their training part."""
        users = user_idx.tolist()
        return cls(data.train_matrix[user_idx], tuple(data.traits(user) for user in users))


@dataclass(frozen=True)
class Settings:
    """What is chosen on validation, beside the epochs."""

    dim: int = 64
    ials: float = 0.4
    ease: float = 400.0
    seed: int = 0


class Signal(ABC):
    """A dataclass of arrays, fitted, never changed after."""

    name: ClassVar[str]
    standardised: ClassVar[bool] = False  # in standard deviations of the student's unseen items

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the C columns."""
        return (self.name,)

    @classmethod
    @abstractmethod
    def fit(cls, data: Dataset, settings: Settings) -> Self | None:
        """Learn from the training part; None where the log cannot say anything of the kind."""

    @abstractmethod
    def scores(self, students: Students) -> FloatArray:
        """float32[C, B, N]."""


SIGNALS: dict[str, type[Signal]] = {}


def signal(name: str) -> Any:
    """Enter the class in the registry."""

    def register(cls: type[Signal]) -> type[Signal]:
        cls.name = name
        SIGNALS[name] = cls
        return cls

    return register


def fit_all(data: Dataset, settings: Settings) -> list[Signal]:
    """Every signal that the log can feed, in the order of the registry."""
    fitted = []
    for cls in SIGNALS.values():
        pulse.beat()
        fitted.append(cls.fit(data, settings))
    return [one for one in fitted if one is not None]


def tensors(signals: Sequence[Signal]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Their arrays by `signal.field`, and what is no array, as JSON takes it."""
    arrays: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for one in signals:
        values[one.name] = {}
        for item in fields(one):  # type: ignore[arg-type]
            value = getattr(one, item.name)
            if isinstance(value, np.ndarray):
                arrays[f"{one.name}.{item.name}"] = value
            else:
                values[one.name][item.name] = value
    return arrays, values


def restored(arrays: Mapping[str, Any], values: Mapping[str, Any]) -> list[Signal]:
    """What `tensors` gave, at work again, whatever the order of the names. Raises KeyError."""
    places = {name: place for place, name in enumerate(SIGNALS)}
    signals = []
    for name in sorted(values, key=places.__getitem__):
        prefix = f"{name}."
        own = {key[len(prefix) :]: array for key, array in arrays.items() if key.startswith(prefix)}
        signals.append(SIGNALS[name](**own, **values[name]))
    return signals


# --- From the interactions and the traits together: traits are rows and columns like any other ---


def _fields(values: Sequence[Sequence[Any]]) -> list[Field]:
    """As JSON gives them back: lists."""
    return [Field(name, tuple(some)) for name, some in values]


def _as_values(some: Sequence[Field]) -> list[list[Any]]:
    return [[field.name, list(field.values)] for field in some]


def _with_traits(histories: csr_matrix, traits: tuple[Traits, ...], known: Sequence[Field]) -> Any:
    """A value that a student has is one more thing they took, [B, N + V]."""
    return hstack([histories, *(_present(field.matrix(traits)) for field in known)], format="csr")


def _extended(data: Dataset, users: Sequence[Field]) -> csr_matrix:
    """… and a value that an épreuve has is one more student who took it, [U + Vᵢ, N + Vᵤ]."""
    of_users = data.user_traits or ({},) * data.n_users
    top = _with_traits(data.train_matrix, of_users, users)
    values = [_present(field.matrix(data.item_traits)).T for field in fields_of(data.item_traits)]
    if not values:
        return top
    bottom = vstack(values, format="csr")
    bottom.resize(bottom.shape[0], top.shape[1])
    return vstack([top, bottom], format="csr")


def _present(matrix: csr_matrix) -> csr_matrix:
    matrix.data[:] = 1
    return matrix


@signal("ials")
@dataclass(frozen=True)
class Factors(Signal):
    """iALS: p·q, p solved from the history. The GMF half takes the factors themselves.

    items: float32[N + V, D], the épreuves' rows q, then those of the values students have.
    spread: float32[D, D], the covariance of the students' rows p.
    """

    standardised = True
    items: FloatArray
    spread: FloatArray
    penalty: float
    n_items: int
    user_fields: list[list[Any]]

    @classmethod
    def fit(cls, data: Dataset, settings: Settings) -> Self:
        users = fields_of(data.user_traits)
        # The same first draw in every fold: their factors then differ by what they learnt alone.
        rng = np.random.default_rng(settings.seed)
        items = linear.alternate(_extended(data, users), settings.dim, settings.ials, rng)
        fitted = cls(
            items,
            np.zeros((settings.dim, settings.dim), np.float32),
            settings.ials,
            data.n_items,
            _as_values(users),
        )
        p = fitted.p(Students.of(data, np.arange(data.n_users)))
        centred = p - p.mean(axis=0)
        return replace(fitted, spread=centred.T @ centred / len(p))

    @property
    def q(self) -> FloatArray:
        """The épreuves' rows, [N, D]."""
        return self.items[: self.n_items]

    def aligned(self, reference: FloatArray) -> Self:
        """Rotated as near as can be to other rows q [N, D] (Schönemann 1966): same scores."""
        u, _, vt = np.linalg.svd(self.q.T @ reference)
        turn = (u @ vt).astype(np.float32)
        return replace(self, items=self.items @ turn, spread=turn.T @ self.spread @ turn)

    def profiles(self) -> FloatArray:
        """As `Servable.profiles`, [N, D]: (q_i - q̄)·S·(q_j - q̄) normalised, S the spread of p."""
        values, vectors = np.linalg.eigh(self.spread.astype(np.float64))
        root = vectors * np.sqrt(np.maximum(values, 0))
        rows = (self.q - self.q.mean(axis=0)) @ root
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        profiles: FloatArray = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return profiles

    def taken(self, students: Students) -> csr_matrix:
        """The histories with the students' traits, [B, N + V]."""
        return _with_traits(students.histories, students.traits, _fields(self.user_fields))

    def p(self, students: Students) -> FloatArray:
        """The students' rows, [B, D]."""
        return linear.fold_in(self.taken(students), self.items, self._gram, self.penalty)

    def p_without_each(self, taken: csr_matrix, row: int) -> FloatArray:
        """A student's row without each épreuve of the history in turn, [H, D]."""
        part = slice(*taken.indptr[row : row + 2])
        items, weights = taken.indices[part], taken.data[part]
        without = linear.without_each(items, weights, self.items, self._gram, self.penalty)
        of_items: FloatArray = without[items < self.n_items]
        return of_items

    def scores(self, students: Students) -> FloatArray:
        total = self.p(students) @ self.q.T
        if students.seen_too:
            taken, indptr = self.taken(students), students.histories.indptr
            for row in range(len(students)):
                history = students.histories.indices[indptr[row] : indptr[row + 1]]
                without = self.p_without_each(taken, row)
                total[row, history] = (without * self.q[history]).sum(axis=1)
        return total[None]

    @cached_property
    def _gram(self) -> FloatArray:
        return self.items.T @ self.items


@signal("ease")
@dataclass(frozen=True)
class Shallow(Signal):
    """EASE: x·B, over the MAX_ITEMS most popular épreuves; 0 for the others.

    weights: float32[K + V, K + V], diagonal: float32[K + V], as `linear.ease` gives them. kept:
    int64[K], the rows of those that take part.
    """

    standardised = True
    MAX_ITEMS: ClassVar[int] = 3000
    weights: FloatArray
    diagonal: FloatArray
    kept: IntArray
    n_items: int
    user_fields: list[list[Any]]

    @classmethod
    def fit(cls, data: Dataset, settings: Settings) -> Self:
        popularity = np.bincount(data.train.item_idx, minlength=data.n_items)
        kept = np.sort(np.argsort(-popularity, kind="stable")[: cls.MAX_ITEMS]).astype(np.int64)
        users = fields_of(data.user_traits)
        matrix = _extended(data, users)
        columns = np.concatenate([kept, np.arange(data.n_items, matrix.shape[1])])
        weights, diagonal = linear.ease(matrix[:, columns], settings.ease)
        return cls(weights, diagonal, kept, data.n_items, _as_values(users))

    def scores(self, students: Students) -> FloatArray:
        known = _fields(self.user_fields)
        taken = _with_traits(students.histories[:, self.kept], students.traits, known)
        total = np.zeros((1, len(students), self.n_items), np.float32)
        scores = np.asarray(taken @ self.weights)
        if students.seen_too:
            for row in range(len(students)):
                part = slice(*taken.indptr[row : row + 2])
                own, values = taken.indices[part], taken.data[part]
                scores[row, own] = linear.ease_without_row(
                    values, scores[row, own], self.diagonal[own]
                )
        total[0][:, self.kept] = scores[:, : len(self.kept)]
        return total


# --- From the order of things ----------------------------------------------------------------


@signal("ensemble")
@dataclass(frozen=True)
class Together(Signal):
    """What students took just before and after what this one took: s_i = Σ_j w_j·cos(i, j).

    cos(i, j) = n_ij / (√(n_i·n_j) + SHRINK), where two épreuves that a student took k places apart,
    up to WIDTH, count 1/k. Of each épreuve the NEAR likeliest neighbours are kept: row of the
    neighbour, column of the épreuve, as a sparse matrix's three arrays.
    """

    standardised = True
    WIDTH: ClassVar[int] = 10
    SHRINK: ClassVar[float] = 5.0
    NEAR: ClassVar[int] = 300
    data: FloatArray
    indices: IntArray
    indptr: IntArray

    @classmethod
    def fit(cls, data: Dataset, settings: Settings) -> Self | None:
        pairs = data.train
        if pairs.timestamps is None or np.ptp(pairs.timestamps) == 0:
            return None
        order = np.lexsort((pairs.item_idx, pairs.timestamps, pairs.user_idx))
        users, items = pairs.user_idx[order], pairs.item_idx[order]
        shape = data.n_items, data.n_items
        counts = csr_matrix(shape, dtype=np.float32)
        for apart in range(1, min(cls.WIDTH, len(users) - 1) + 1):
            same = users[apart:] == users[:-apart]
            one = np.full(int(same.sum()), 1 / apart, np.float32)
            rows = items[apart:][same], items[:-apart][same]
            counts = counts + csr_matrix((one, rows), shape=shape)
        near = cls._nearest(counts + counts.T)
        return cls(near.data, near.indices.astype(np.int64), near.indptr.astype(np.int64))

    @classmethod
    def _nearest(cls, counts: csr_matrix) -> csr_matrix:
        totals = np.sqrt(np.asarray(counts.sum(axis=0))[0])
        counts = counts.tocsr()
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        cosines = counts.data / (totals[rows] * totals[counts.indices] + cls.SHRINK)
        cosines[rows == counts.indices] = 0
        order = np.lexsort((counts.indices, -cosines, rows))
        kept = order[np.arange(len(rows)) - counts.indptr[rows] < cls.NEAR]
        cells = cosines[kept].astype(np.float32), (counts.indices[kept], rows[kept])
        return csr_matrix(cells, shape=counts.shape)

    def scores(self, students: Students) -> FloatArray:
        n_items = len(self.indptr) - 1
        likeness = csr_matrix((self.data, self.indices, self.indptr), shape=(n_items, n_items))
        total: FloatArray = (students.histories @ likeness).toarray()
        return total[None]


# --- From counts -------------------------------------------------------------------------------


@signal("popularite")
@dataclass(frozen=True)
class Popular(Signal):
    """How much the épreuve was taken, log(1 + Σ confidences), whoever asks: counts float32[N]."""

    counts: FloatArray

    @classmethod
    def fit(cls, data: Dataset, settings: Settings) -> Self:
        return cls(np.log1p(np.asarray(data.train_matrix.sum(axis=0))[0]).astype(np.float32))

    def scores(self, students: Students) -> FloatArray:
        return np.broadcast_to(self.counts, (1, len(students), len(self.counts)))


@signal("longueur")
@dataclass(frozen=True)
class Length(Signal):
    """How much is known of the student, log(1 + number of épreuves), whichever is asked about."""

    n_items: int

    @classmethod
    def fit(cls, data: Dataset, settings: Settings) -> Self:
        return cls(data.n_items)

    def scores(self, students: Students) -> FloatArray:
        lengths = np.diff(students.histories.indptr)
        known = np.tile(lengths[:, None], (1, self.n_items))
        if students.seen_too:
            known[students.histories.nonzero()] -= 1
        logs: FloatArray = np.log1p(known).astype(np.float32)
        return logs[None]


def _lift(counts: FloatArray, prior: float) -> FloatArray:
    """log(share in the row / share overall) for counts [R, V], with `prior` more rows of average.

    0 for a row of which nothing is known.
    """
    overall = counts.sum(axis=0) + 1e-6
    overall = overall / overall.sum()
    totals = counts.sum(axis=1, keepdims=True)
    shares = (counts + prior * overall) / (totals + prior)
    lift: FloatArray = np.log(shares / overall).astype(np.float32)
    return lift


@signal("profil")
@dataclass(frozen=True)
class Profile(Signal):
    """Per field of the épreuves: how much more than others this student takes that value.

    overall: float32[ΣV], the share of each value in the log. values: float32[N, ΣV], who has which.
    """

    PRIOR: ClassVar[float] = 5.0
    overall: FloatArray
    values: FloatArray
    fields: list[list[Any]]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}.{name}" for name, _ in self.fields)

    @classmethod
    def fit(cls, data: Dataset, settings: Settings) -> Self | None:
        known = fields_of(data.item_traits)
        if not known:
            return None
        values = hstack([field.matrix(data.item_traits) for field in known]).toarray()
        overall = np.asarray(data.train_matrix.sum(axis=0))[0] @ values
        return cls(overall.astype(np.float32), values.astype(np.float32), _as_values(known))

    def scores(self, students: Students) -> FloatArray:
        counts = students.histories @ self.values  # [B, ΣV]
        columns, start = [], 0
        for _, names in self.fields:
            part = slice(start, start + len(names))
            overall = (self.overall[part] + 1e-6) / (self.overall[part] + 1e-6).sum()
            column = self._lift(counts[:, part], overall) @ self.values[:, part].T
            if students.seen_too:
                seen = students.histories.tocoo()
                own = self.values[seen.col, part]
                without = np.maximum(0, counts[seen.row, part] - seen.data[:, None] * own)
                column[seen.row, seen.col] = (self._lift(without, overall) * own).sum(axis=1)
            columns.append(column)
            start = part.stop
        return np.stack(columns).astype(np.float32)

    def _lift(self, counts: FloatArray, overall: FloatArray) -> FloatArray:
        """[R, V] of one field."""
        totals = counts.sum(axis=1, keepdims=True)
        lift: FloatArray = np.log((counts / overall + self.PRIOR) / (totals + self.PRIOR))
        return lift


@signal("groupe")
@dataclass(frozen=True)
class Group(Signal):
    """Per field of the students: how much more than others those alike take the épreuve itself,
    and, per field of the épreuves, its value.

    tables: float32[T, ΣV, N], a table of log-lifts per column and value of the student.
    """

    PRIOR: ClassVar[float] = 50.0
    tables: FloatArray
    names: list[str]
    user_fields: list[list[Any]]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(
            f"{self.name}.{field}.{name}" for field, _ in self.user_fields for name in self.names
        )

    @classmethod
    def fit(cls, data: Dataset, settings: Settings) -> Self | None:
        known = fields_of(data.user_traits)
        if not known:
            return None
        members = hstack([field.matrix(data.user_traits) for field in known])
        taken = np.asarray((members.T @ data.train_matrix).toarray())  # [ΣV, N]
        sizes = [len(field.values) for field in known]
        tables = [cls._lifts(taken, sizes)]
        names = ["epreuve"]
        for field in fields_of(data.item_traits):
            values = field.matrix(data.item_traits).toarray()
            tables.append(cls._lifts(taken @ values, sizes) @ values.T)
            names.append(field.name)
        return cls(np.stack(tables).astype(np.float32), names, _as_values(known))

    @classmethod
    def _lifts(cls, counts: FloatArray, sizes: list[int]) -> FloatArray:
        parts = np.split(counts, np.cumsum(sizes)[:-1])
        return np.concatenate([_lift(part, cls.PRIOR) for part in parts])

    def scores(self, students: Students) -> FloatArray:
        columns, start = [], 0
        for field in _fields(self.user_fields):
            members = field.matrix(students.traits)
            part = slice(start, start + len(field.values))
            columns += [members @ table[part] for table in self.tables]
            start = part.stop
        return np.stack(columns).astype(np.float32)
