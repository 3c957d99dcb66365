"""The board's training part is 360 pairs: about 12 of each student, a fifth in each fold."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from apps.recommender.ml import first_stage, shortlists
from apps.recommender.ml.data_loader import Dataset, IntArray
from apps.recommender.ml.first_stage import FirstStage
from apps.recommender.ml.shortlists import (
    FOLDS,
    SHORT_SHARE,
    Shortlists,
    of_validation,
    out_of_fold,
)
from apps.recommender.ml.signals import Settings, Students, fit_all

SETTINGS = Settings(dim=8, seed=3)
SEED = 9


@pytest.fixture(scope="module")
def stage(board: Dataset) -> FirstStage:
    return FirstStage(fit_all(board, SETTINGS))


@pytest.fixture
def drawn(board: Dataset, stage: FirstStage) -> Callable[[], Shortlists]:
    return lambda: out_of_fold(board, stage, SETTINGS, np.random.default_rng(SEED))


@pytest.fixture
def lists(drawn: Callable[[], Shortlists]) -> Shortlists:
    return drawn()


def fold_of(board: Dataset) -> IntArray:
    """The fold of each training pair: the first thing that is drawn."""
    return np.random.default_rng(SEED).permutation(len(board.train)) % FOLDS


def is_short(board: Dataset, lists: Shortlists) -> np.ndarray:
    """The lists of a fold are of its students, then of some of them a second time."""
    short = np.zeros(len(lists.fold), bool)
    for k in range(FOLDS):
        students = len(np.unique(board.train.user_idx[fold_of(board) == k]))
        rows = np.flatnonzero(lists.fold == k)
        assert len(rows) == students + round(SHORT_SHARE * students)
        short[rows[students:]] = True
    return short


def column(stage: FirstStage, name: str) -> int:
    return stage.columns.index(name)


def test_every_training_pair_is_a_positive_of_the_fold_that_left_it_out(
    board: Dataset, lists: Shortlists
) -> None:
    full = ~is_short(board, lists)[lists.of_list]
    of_fold = lists.fold[lists.of_list]
    for k in range(FOLDS):
        found = np.sort(lists.item[full & (of_fold == k)])
        assert np.array_equal(found, np.sort(board.train.item_idx[fold_of(board) == k]))


def test_a_positive_is_never_a_candidate_of_its_list(lists: Shortlists) -> None:
    for place, item in zip(lists.of_list, lists.item, strict=True):
        assert item not in lists.items[place, : lists.n_valid[place]]


def test_no_candidate_is_anything_the_student_took(board: Dataset, lists: Shortlists) -> None:
    """A student of the board took what is of their kind: the items of a list's positives."""
    taken = board.train_matrix.toarray() > 0
    for place in range(len(lists.fold)):
        mine = lists.item[lists.of_list == place]
        candidates = lists.items[place, : lists.n_valid[place]]
        possible = taken[:, mine].all(axis=1)
        assert any(
            not taken[user, candidates].any() and len(candidates) == 30 - taken[user].sum()
            for user in np.flatnonzero(possible)
        )


def test_the_signals_of_a_fold_never_saw_its_positives(
    board: Dataset, stage: FirstStage, lists: Shortlists
) -> None:
    popularity = lists.positive_signals[:, column(stage, "popularite")]
    of_fold = lists.fold[lists.of_list]
    for k in range(FOLDS):
        others = board.train.item_idx[fold_of(board) != k]
        counts = np.bincount(others, minlength=30)
        here = of_fold == k
        np.testing.assert_allclose(popularity[here], np.log1p(counts)[lists.item[here]], rtol=1e-6)


def test_the_history_of_a_list_is_without_its_positives(
    board: Dataset, stage: FirstStage, lists: Shortlists
) -> None:
    """Of a student in full, what is known and what is held out make up what they took."""
    full = np.flatnonzero(~is_short(board, lists))
    known = np.round(np.expm1(lists.signals[full, 0, column(stage, "longueur")])).astype(int)
    held_out = np.bincount(lists.of_list, minlength=len(lists.fold))[full]
    assert np.array_equal(known + held_out, 30 - lists.n_valid[full])


def test_short_histories_keep_to_their_length_and_to_the_positives_of_their_fold(
    board: Dataset,
    stage: FirstStage,
    drawn: Callable[[], Shortlists],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shortlists, "SHORT_MOST", 3)
    lists = drawn()
    short = is_short(board, lists)
    known = np.round(np.expm1(lists.signals[:, 0, column(stage, "longueur")]))
    assert set(known[short]) == {0, 1, 2, 3}
    assert known[~short].min() > 3
    # The forgotten ones are neither candidates nor positives: the signals learnt from them.
    as_in_full = [
        (lists.fold[place], lists.n_valid[place], *lists.item[lists.of_list == place])
        for place in range(len(short))
    ]
    whole = {one for one, is_one in zip(as_in_full, short, strict=True) if not is_one}
    assert {one for one, is_one in zip(as_in_full, short, strict=True) if is_one} < whole


def test_the_factors_of_the_folds_are_turned_onto_those_of_the_whole(
    stage: FirstStage, lists: Shortlists
) -> None:
    q = stage.factors.q
    assert lists.q.shape == (FOLDS, *q.shape)
    for of_fold in lists.q:
        u, _, vt = np.linalg.svd(of_fold.T @ q)
        distance = np.linalg.norm(of_fold - q)
        assert distance == pytest.approx(np.linalg.norm(of_fold @ (u @ vt) - q), rel=1e-4)
        assert distance < 0.5 * np.linalg.norm(q)


def test_who_did_twice_as_much_counts_a_square_root_of_two_more(lists: Shortlists) -> None:
    counts = np.bincount(lists.of_list, minlength=len(lists.fold))
    totals = np.bincount(lists.of_list, lists.weight, minlength=len(lists.fold))
    np.testing.assert_allclose(totals, np.sqrt(counts), rtol=1e-5)  # all are worth the same here


def test_candidates_are_the_best_first(lists: Shortlists) -> None:
    for base, n_valid in zip(lists.base, lists.n_valid, strict=True):
        assert (np.diff(base[:n_valid]) <= 0).all()


def test_a_list_is_no_longer_than_asked_for(
    drawn: Callable[[], Shortlists], lists: Shortlists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlists, "CANDIDATES", 7)
    fewer = drawn()
    assert fewer.items.shape[1] == 7
    assert (fewer.n_valid == 7).all()
    for one, all_of_them in zip(fewer.base, lists.base, strict=True):
        np.testing.assert_allclose(one, all_of_them[:7], atol=1e-6)


def test_of_many_students_a_sample_is_kept(
    drawn: Callable[[], Shortlists], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlists, "MAX_STUDENTS", 10)
    assert np.bincount(drawn().fold).tolist() == [13] * FOLDS


@pytest.mark.parametrize("cells", [1, 300])
def test_students_taken_a_few_at_a_time_give_the_same_lists(
    cells: int, board: Dataset, stage: FirstStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, base = of_validation(stage, board)
    monkeypatch.setattr(first_stage, "_CELLS_AT_ONCE", cells)
    in_parts, base_in_parts = of_validation(stage, board)
    for name in ("q", "fold", "p", "n_valid", "base"):
        first, second = getattr(at_once, name), getattr(in_parts, name)
        np.testing.assert_allclose(first, second, atol=1e-4, err_msg=name)
    orders = [np.lexsort((lists.item, lists.of_list)) for lists in (at_once, in_parts)]
    for name in ("of_list", "item", "positive_signals", "positive_base", "weight"):
        first, second = (
            getattr(lists, name)[order]
            for lists, order in zip((at_once, in_parts), orders, strict=True)
        )
        np.testing.assert_allclose(first, second, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(base, base_in_parts, atol=1e-4)


def test_validation_lists_are_of_the_unseen_with_the_held_out_among_them(
    board: Dataset, stage: FirstStage
) -> None:
    lists, base = of_validation(stage, board)
    held_out = board.part("validation")
    users = np.unique(held_out.user_idx)
    assert np.array_equal(base, stage.table(Students.of(board, users)).base)
    for place, user in enumerate(users):
        candidates = lists.items[place, : lists.n_valid[place]]
        assert set(candidates) == set(range(30)) - set(board.history(user)[0])
    assert np.array_equal(users[lists.of_list], held_out.user_idx)
    assert np.array_equal(lists.item, held_out.item_idx)


def test_one_generator_gives_one_set_of_lists(
    drawn: Callable[[], Shortlists], lists: Shortlists
) -> None:
    again = drawn()
    for field in fields(Shortlists):
        assert np.array_equal(getattr(again, field.name), getattr(lists, field.name)), field.name
