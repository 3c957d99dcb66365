"""What the held-out students and items of `benchmarks.quality` are, and that they are held out."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from apps.recommender.ml.baselines import Ease, Popularity
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.model import NO_TRAITS
from benchmarks.newcomers import NewItems, NewStudents, NothingKnown
from benchmarks.protocols import holdout
from tests.benchmarks.conftest import Files, N


@pytest.fixture
def split(board: Files) -> Dataset:
    task = holdout(board.log, np.random.default_rng(1), items=board.items, users=board.users)
    return replace(task.train, test=task.test)


class Listening(Popularity):
    """Remembers who it was asked about."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[int], FloatArray, int | None, Traits]] = []

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        self.asked.append((history_items.tolist(), history_weights, user_idx, traits))
        return super().scores(history_items, history_weights, user_idx, traits)


Listen = Callable[[Dataset], Listening]


@pytest.fixture
def listening() -> Listen:
    def fitted(data: Dataset) -> Listening:
        model = Listening()
        model.fit(data, np.random.default_rng(0))
        return model

    return fitted


def test_held_out_students_are_absent_from_training(split: Dataset) -> None:
    held = NewStudents.drawn(split, 0.25, 1)
    assert len(held.users) == N / 4
    assert not np.isin(held.train.user_ids, split.user_ids[held.users]).any()
    assert held.train.n_users == len(held.train.user_traits) == N - len(held.users)
    assert (len(held.train.validation), len(held.train.test)) == (0, 0)
    others = np.setdiff1d(np.arange(N), held.users)
    for row, user in enumerate(others):
        assert held.train.history(row)[0].tolist() == split.history(user)[0].tolist()
        assert held.train.traits(row) == split.traits(user)


def test_the_seed_draws_who_is_held_out(split: Dataset) -> None:
    first, same, other = (NewStudents.drawn(split, 0.25, s).users.tolist() for s in (1, 1, 2))
    assert first == same != other


def test_a_held_out_student_is_what_they_did_and_their_traits(
    split: Dataset, listening: Listen
) -> None:
    held = NewStudents.drawn(split, 0.1, 1)
    fitted = held.train.with_half_life(5000)
    model = listening(fitted)
    held.ndcg(model, fitted)
    for user, (items, confidences, row, traits) in zip(held.users, model.asked, strict=True):
        assert sorted(items) == split.history(user)[0].tolist()
        assert row is None
        assert traits == split.traits(user) != {}
        assert len(np.unique(confidences)) > 1, "aged as what was learnt from"


def test_clicks_are_some_of_the_training_pairs_and_more_hold_fewer(
    split: Dataset, listening: Listen
) -> None:
    held = NewStudents.drawn(split, 0.1, 1)
    model = listening(held.train)
    for n in (1, 3):
        held.ndcg(model, held.train, n)
    users = len(held.users)
    for user, one, three in zip(held.users, model.asked[:users], model.asked[users:], strict=True):
        assert (len(one[0]), len(three[0])) == (1, 3)
        assert set(one[0]) < set(three[0]) < set(split.history(user)[0].tolist())


def test_what_students_took_in_training_is_no_candidate_whatever_the_clicks(
    split: Dataset,
) -> None:
    class OfOnesColour(Listening):
        def scores(
            self,
            history_items: IntArray,
            history_weights: FloatArray,
            user_idx: int | None,
            traits: Traits = NO_TRAITS,
        ) -> FloatArray:
            (mine,) = traits["colour"]
            return np.array([mine in item["class"] for item in split.item_traits], np.float32)

    held = NewStudents.drawn(split, 0.1, 1)
    # Of their colour 3 items are left, those of the test.
    assert held.ndcg(OfOnesColour(), held.train, 1) == 1


def test_held_out_items_are_absent_from_training(split: Dataset) -> None:
    held = NewItems.drawn(split, 0.25, 1)
    assert len(held.items) == N / 4
    data = held.train
    assert not np.isin(data.item_ids, split.item_ids[held.items]).any()
    assert data.n_items == len(data.item_traits) == len(data.item_texts) == N - N // 4
    titles = {split.item_texts[item] for item in held.items}
    assert not titles & set(data.item_texts)
    taken = split.train.take(~np.isin(split.train.item_idx, held.items))
    assert data.item_ids[data.train.item_idx].tolist() == taken.item_idx.tolist()


def test_new_items_are_ranked_alone_by_what_is_known_of_them(split: Dataset) -> None:
    held = NewItems.drawn(split, 0.25, 1)
    ease = Ease(1)
    ease.fit(held.train, np.random.default_rng(0))
    own, same_for_all = held.ndcg(ease, held.train)
    # Colours tell all: each student's come first.
    assert own == pytest.approx(1)
    assert own > same_for_all
    assert own > held.ndcg_at_random()
    assert held.relevant.sum() == N / 2 * len(held.items), "in training or in test"


def test_items_of_which_nothing_is_known_have_no_place(split: Dataset) -> None:
    held = NewItems.drawn(replace(split, item_traits=(), item_texts=()), 0.25, 1)
    model = Popularity()
    model.fit(held.train, np.random.default_rng(0))
    with pytest.raises(NothingKnown, match="--items"):
        held.ndcg(model, held.train)
