"""From outside ids to embedding rows, the split by date, and the negative samples."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from apps.recommender.ml.confidence import Confidence
from apps.recommender.ml.errors import TooFewInteractions
from apps.recommender.ml.metadata import NO_METADATA, Metadata, Traits

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

HELD_OUT = 0.2  # half of it validates, half of it tests
WEEK = 7 * 24 * 3600
_FREE_CELLS = 2**24  # of users x items whose free ones are listed: 64 MB


@dataclass(frozen=True)
class Interactions:
    """The positives: one row per distinct pair, dated by its first time.

    user_ids, item_ids: int64[n], outside ids. weights: float32[n]. timestamps: int64[n], seconds.
    Raises ValueError when the columns differ in length or a pair comes twice.
    """

    user_ids: IntArray
    item_ids: IntArray
    weights: FloatArray
    timestamps: IntArray

    def __post_init__(self) -> None:
        columns = (self.user_ids, self.item_ids, self.weights, self.timestamps)
        if len({len(column) for column in columns}) != 1:
            raise ValueError("Les quatre colonnes doivent avoir la même longueur.")
        order = self._order()
        if not _rise(self.user_ids[order], self.item_ids[order]):
            raise ValueError("Chaque paire (utilisateur, épreuve) ne doit figurer qu'une fois.")

    def __len__(self) -> int:
        return len(self.user_ids)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the rows, whatever their order and the machine's byte order."""
        order = self._order()
        digest = hashlib.sha256()
        for column in (self.user_ids, self.item_ids, self.timestamps):
            digest.update(np.ascontiguousarray(column[order], "<i8").data)
        digest.update(np.ascontiguousarray(self.weights[order], "<f4").data)
        return digest.hexdigest()

    def _order(self) -> IntArray | slice:
        """By both ids; as they come where they do, as from a bank: no copy is made then."""
        if _rise(self.user_ids, self.item_ids):
            return slice(None)
        order: IntArray = np.lexsort((self.item_ids, self.user_ids))
        return order


def _rise(first: IntArray, second: IntArray) -> bool:
    """Each pair comes after the one before, and so none comes twice."""
    same = first[1:] == first[:-1]
    rises = (first[1:] > first[:-1]) | (same & (second[1:] > second[:-1]))
    return bool(rises.all())


@dataclass(frozen=True)
class Pairs:
    """Pairs of embedding rows: user_idx int64[n], item_idx int64[n].

    weights: float32[n], what each is worth, or None where all are worth the same. timestamps:
    int64[n], seconds, or None where nobody knows.
    """

    user_idx: IntArray
    item_idx: IntArray
    weights: FloatArray | None = None
    timestamps: IntArray | None = None

    def __len__(self) -> int:
        return len(self.user_idx)

    def __add__(self, other: "Pairs") -> "Pairs":
        """Both, one after the other; what only one of them knows is forgotten."""
        return Pairs(
            np.concatenate([self.user_idx, other.user_idx]),
            np.concatenate([self.item_idx, other.item_idx]),
            _joined(self.weights, other.weights),
            _joined(self.timestamps, other.timestamps),
        )

    def take(self, rows: IntArray | BoolArray) -> "Pairs":
        """Those at these positions, or where the mask is true."""
        return Pairs(
            self.user_idx[rows],
            self.item_idx[rows],
            None if self.weights is None else self.weights[rows],
            None if self.timestamps is None else self.timestamps[rows],
        )

    def of_users(self, user_idx: IntArray) -> "Pairs":
        """Those pairs whose user is among `user_idx`."""
        return self.take(np.isin(self.user_idx, user_idx))


Column = TypeVar("Column", IntArray, FloatArray)


def _joined(first: Column | None, second: Column | None) -> Column | None:
    return None if first is None or second is None else np.concatenate([first, second])


@dataclass(frozen=True)
class Dataset:
    """The log in embedding rows, in three parts.

    user_ids, item_ids: sorted outside ids of the *whole* log; the position is the row. A student
    or an épreuve met only after the cut thus has a row, left as it was drawn. user_traits,
    item_traits: what is known of each row, empty where nothing is. item_texts: their words.
    half_life: after how many seconds a pair is worth half, None for never.
    """

    user_ids: IntArray
    item_ids: IntArray
    train: Pairs
    validation: Pairs
    test: Pairs
    user_traits: tuple[Traits, ...] = ()
    item_traits: tuple[Traits, ...] = ()
    item_texts: tuple[str, ...] = ()
    half_life: float | None = None

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    @cached_property
    def confidence(self) -> Confidence:
        """What turns the worth and the date of a training positive into its weight."""
        return Confidence.fitted(self.train.weights, self.train.timestamps, self.half_life)

    @cached_property
    def train_matrix(self) -> csr_matrix:
        """The training positives, each with its confidence, float32[n_users, n_items]."""
        pairs = self.train
        data = self.confidence.of(pairs.weights, pairs.timestamps, len(pairs))
        return csr_matrix((data, (pairs.user_idx, pairs.item_idx)), (self.n_users, self.n_items))

    def traits(self, user_idx: int) -> Traits:
        """What is known of a user."""
        return self.user_traits[user_idx] if self.user_traits else {}

    def with_half_life(self, half_life: float | None) -> Self:
        """The same log, forgetting at another pace."""
        return replace(self, half_life=half_life)

    def history(self, user_idx: int) -> tuple[IntArray, FloatArray]:
        """The training positives of a user, int64[H], and the confidence of each, float32[H]."""
        row = slice(*self.train_matrix.indptr[user_idx : user_idx + 2])
        items: IntArray = self.train_matrix.indices[row].astype(np.int64)
        return items, self.train_matrix.data[row]

    def matrix(self, pairs: Pairs) -> csr_matrix:
        """`pairs` as float32 ones in a sparse [n_users, n_items]."""
        ones = np.ones(len(pairs), dtype=np.float32)
        shape = (self.n_users, self.n_items)
        return csr_matrix((ones, (pairs.user_idx, pairs.item_idx)), shape=shape)

    def part(self, name: str) -> Pairs:
        """`validation` or `test`, kept to the users who have a training positive.

        Of the others the model knows nothing: measuring them would measure the drawn weights.
        """
        pairs = {"validation": self.validation, "test": self.test}[name]
        return pairs.of_users(np.unique(self.train.user_idx))


def split_by_date(interactions: Interactions, metadata: Metadata = NO_METADATA) -> Dataset:
    """Cut the log at one date for all, so that nobody's future is in training.

    The pairs are put in time order (ties by user id, then item id): the first 80 % train, the
    next 10 % validate, the last 10 % test. "20 % of the time" thus counts pairs, not days: a
    calendar has holidays, and a part without pairs would measure nothing. A log that spans less
    than a week (an import dated all at once) has no usable date: there each user's own last 20 %
    are held out.
    Raises TooFewInteractions.
    """
    _require_two_of_each(interactions)
    order = np.lexsort((interactions.item_ids, interactions.user_ids, interactions.timestamps))
    user_ids, users = np.unique(interactions.user_ids[order], return_inverse=True)
    item_ids, items = np.unique(interactions.item_ids[order], return_inverse=True)
    in_a_week = np.ptp(interactions.timestamps) < WEEK
    part = _last_of_each_user(users) if in_a_week else _last_of_all(len(order))
    pairs = Pairs(users, items, interactions.weights[order], interactions.timestamps[order])
    train, validation, test = (pairs.take(part == p) for p in range(3))
    dataset = Dataset(
        user_ids, item_ids, train, validation, test, *metadata.of_rows(user_ids, item_ids)
    )
    _require_something_to_measure(dataset)
    return dataset


def whole(interactions: Interactions, metadata: Metadata = NO_METADATA) -> Dataset:
    """Everything in training, for the model that will serve; same rows as `split_by_date`."""
    _require_two_of_each(interactions)
    user_ids, users = np.unique(interactions.user_ids, return_inverse=True)
    item_ids, items = np.unique(interactions.item_ids, return_inverse=True)
    order = np.lexsort((items, users))  # same rows in another order, same weights
    pairs = Pairs(users, items, interactions.weights, interactions.timestamps).take(order)
    none = pairs.take(np.empty(0, np.int64))
    rows = metadata.of_rows(user_ids, item_ids)
    return Dataset(user_ids, item_ids, pairs, none, none, *rows)


def _last_of_all(n: int) -> IntArray:
    """0, 1 or 2 (train, validation, test) for `n` pairs in time order."""
    held_out = round(n * HELD_OUT)
    return _parts(np.arange(n), np.array(n), np.array(held_out), np.array(held_out // 2))


def _last_of_each_user(users: IntArray) -> IntArray:
    """The same within each user. An odd pair goes to the test of even rows: both parts get some."""
    n = np.bincount(users)
    by_user = np.argsort(users, kind="stable")
    position = np.empty_like(users)
    position[by_user] = np.arange(len(users)) - np.repeat(np.cumsum(n) - n, n)
    held_out = np.floor(n * HELD_OUT + 0.5).astype(np.int64)
    validation = (held_out + np.arange(len(n)) % 2) // 2
    return _parts(position, n[users], held_out[users], validation[users])


def _parts(position: IntArray, n: IntArray, held_out: IntArray, validation: IntArray) -> IntArray:
    start = n - held_out
    return (position >= start).astype(np.int64) + (position >= start + validation)


def _require_two_of_each(interactions: Interactions) -> None:
    counts = {
        "étudiant": len(np.unique(interactions.user_ids)),
        "épreuve": len(np.unique(interactions.item_ids)),
    }
    if len(interactions) == 0:
        raise TooFewInteractions(
            "Aucune interaction positive à apprendre : enregistrez-en, importez un journal "
            "(import_interactions) ou générez une banque d'essai (generate_data)."
        )
    for noun, count in counts.items():
        if count < 2:
            raise TooFewInteractions(
                f"Les interactions ne portent que sur {count} {noun} : il en faut au moins deux "
                "pour apprendre qui préfère quoi. Attendez d'autres interactions."
            )


def _require_something_to_measure(dataset: Dataset) -> None:
    for name, noun in (("validation", "valider"), ("test", "tester")):
        if len(dataset.part(name)) == 0:
            n = len(dataset.train) + len(dataset.validation) + len(dataset.test)
            raise TooFewInteractions(
                f"Rien sur quoi {noun} le modèle : parmi {n} paires (étudiant, épreuve), aucune "
                "des plus récentes ne vient d'un étudiant déjà connu. Attendez d'autres "
                "interactions, ou importez un journal plus long."
            )


class NegativeSampler:
    """Draws items uniformly among those that are not a positive of the user.

    Nothing is drawn twice over. Where all free items fit in memory, the r-th of a user is looked
    up; elsewhere it is r plus the number of positives that have at most r free items before them,
    found by one binary search, four times slower. Both give the same items. A user who likes
    everything has no negative, and gets none.
    """

    def __init__(self, positives: Pairs, n_users: int, n_items: int) -> None:
        order = np.lexsort((positives.item_idx, positives.user_idx))
        users, items = positives.user_idx[order], positives.item_idx[order]
        counts = np.bincount(users, minlength=n_users)
        self._n_free = n_items - counts
        self._start = np.cumsum(counts) - counts
        self._stride = n_items + 1
        free_before = items - (np.arange(len(users)) - self._start[users])
        self._keys = users * self._stride + free_before
        self._free = None
        if n_users * n_items <= _FREE_CELLS:
            free = np.ones((n_users, n_items), np.bool_)
            free[users, items] = False
            self._free = np.nonzero(free)[1].astype(np.int32)
            self._free_start = np.cumsum(self._n_free) - self._n_free

    def sample(self, user_idx: IntArray, n: int, rng: np.random.Generator) -> Pairs:
        """`n` negatives for each of user_idx [B], repeats allowed: n·B pairs or fewer."""
        users = np.repeat(user_idx[self._n_free[user_idx] > 0], n)
        rank = rng.integers(0, self._n_free[users])
        if self._free is not None:
            return Pairs(users, self._free[self._free_start[users] + rank].astype(np.int64))
        found = np.searchsorted(self._keys, users * self._stride + rank, side="right")
        return Pairs(users, rank + found - self._start[users])
