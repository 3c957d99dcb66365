import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from apps.recommender.ml import linear, signals
from apps.recommender.ml.data_loader import Dataset, FloatArray, Pairs
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.signals import (
    SIGNALS,
    Factors,
    Group,
    Length,
    Popular,
    Profile,
    Settings,
    Shallow,
    Signal,
    Students,
    Together,
    fit_all,
)
from tests.recommender.ml.cases import log_of, pairs

SETTINGS = Settings(dim=4, ials=0.4, ease=2.0, seed=3)
L1, L2 = {"niveau": ("L1",)}, {"niveau": ("L2",)}
ALGEBRE, OPTIQUE = {"matiere": ("ALGEBRE",)}, {"matiere": ("OPTIQUE",)}
ALL = ("ials", "ease", "ensemble", "popularite", "longueur", "profil", "groupe")


def who(*histories: dict[int, float], n: int, traits: tuple[Traits, ...] = ()) -> Students:
    """Students of whom that is known: confidence by item row."""
    matrix = np.zeros((len(histories), n), np.float32)
    for row, history in enumerate(histories):
        for item, confidence in history.items():
            matrix[row, item] = confidence
    return Students(csr_matrix(matrix), traits or ({},) * len(histories))


@pytest.fixture(scope="module")
def rich() -> Dataset:
    """12 students of two levels, 9 épreuves of two matières, dated and unequal in worth."""
    rng = np.random.default_rng(6)
    users, items = np.nonzero(rng.random((12, 9)) < 0.5)
    n = len(users)
    train = Pairs(
        users, items, rng.uniform(1, 5, n).astype(np.float32), rng.permutation(n) * 86_400
    )
    return log_of(
        train,
        12,
        9,
        users=tuple((L1, L2)[row % 2] for row in range(12)),
        items=tuple((ALGEBRE, OPTIQUE)[row % 2] for row in range(9)),
    )


def fitted(cls: type[Signal], data: Dataset) -> Signal:
    one = cls.fit(data, SETTINGS)
    assert one is not None
    return one


# --- Counts --------------------------------------------------------------------------------------


def test_popularity_is_the_log_of_the_confidences() -> None:
    data = log_of(pairs((0, 0), (1, 0), (2, 0), (0, 1)), 3, 3)
    scores = fitted(Popular, data).scores(who({}, {0: 1}, n=3))
    np.testing.assert_allclose(scores, [np.log([[4, 2, 1]] * 2)], rtol=1e-6)


def test_length_is_the_log_of_the_number_of_epreuves() -> None:
    one = fitted(Length, log_of(pairs((0, 0), (1, 1)), 2, 3))
    students = who({}, {0: 5, 2: 0.1}, n=3)
    np.testing.assert_allclose(one.scores(students), np.log([[[1] * 3, [3] * 3]]), rtol=1e-6)


# --- The order of things -------------------------------------------------------------------------


def test_together_counts_the_places_between_two_epreuves() -> None:
    """0, 1 then 2: neighbours count 1, the ends a half."""
    train = pairs((0, 0), (0, 1), (0, 2), (1, 3), timestamps=(10, 20, 30, 15))
    scores = fitted(Together, log_of(train, 2, 4)).scores(who({0: 2}, {1: 1, 2: 1}, n=4))
    beside = 1 / (np.sqrt(1.5 * 2) + Together.SHRINK)
    ends = 0.5 / (1.5 + Together.SHRINK)
    expected = [[0, 2 * beside, 2 * ends, 0], [beside + ends, beside, beside, 0]]
    np.testing.assert_allclose(scores, [expected], rtol=1e-6)


def test_together_keeps_the_nearest_neighbours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Together, "NEAR", 1)
    train = pairs((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), timestamps=(1, 2, 3, 4, 5))
    one = fitted(Together, log_of(train, 2, 3))
    nearest = one.scores(who({0: 1}, {1: 1}, {2: 1}, n=3))[0] > 0
    # A row of the neighbour: 0 is that of 1, and 1 that of 0 and of 2.
    assert nearest.tolist() == [[False, True, False], [True, False, True], [False, False, False]]


def test_together_looks_no_further_than_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Together, "WIDTH", 1)
    train = pairs((0, 0), (0, 1), (0, 2), timestamps=(1, 2, 3))
    scores = fitted(Together, log_of(train, 1, 3)).scores(who({0: 1}, n=3))
    assert (scores[0, 0] > 0).tolist() == [False, True, False]


# --- Traits --------------------------------------------------------------------------------------


def test_profile_is_how_much_more_a_value_is_taken_than_by_others() -> None:
    data = log_of(
        pairs((0, 0), (0, 1), (1, 2), (1, 0)), 2, 4, items=(ALGEBRE, ALGEBRE, OPTIQUE, {})
    )
    one = fitted(Profile, data)
    assert one.columns == ("profil.matiere",)
    prior = Profile.PRIOR  # 3 of 4 in the log are of algebra
    algebre = np.log((2 + prior * 0.75) / (2 + prior) / 0.75)
    optique = np.log((prior * 0.25) / (2 + prior) / 0.25)
    scores = one.scores(who({}, {0: 1, 1: 1}, n=4))
    expected = [[0] * 4, [algebre, algebre, optique, 0]]
    np.testing.assert_allclose(scores, [expected], atol=1e-5)


def test_group_is_how_much_more_those_alike_take_it() -> None:
    data = log_of(pairs((0, 0), (1, 1), (2, 0)), 3, 2, users=(L1, L2, {}), items=(ALGEBRE, OPTIQUE))
    one = fitted(Group, data)
    assert one.columns == ("groupe.niveau.epreuve", "groupe.niveau.matiere")
    prior = Group.PRIOR
    more, less = np.log((1 + prior / 2) / (1 + prior) * 2), np.log(prior / 2 / (1 + prior) * 2)
    scores = one.scores(who({}, {}, {}, n=2, traits=(L1, L2, {})))
    expected = [[more, less], [less, more], [0, 0]]
    np.testing.assert_allclose(scores, [expected, expected], atol=1e-5)


def test_ease_and_ials_take_a_trait_for_one_more_thing_taken() -> None:
    """Who did nothing is scored by what those of their level do."""
    taken = [(user, item) for user in range(8) for item in range(6) if user % 2 == item % 2]
    data = log_of(pairs(*taken), 8, 6, users=tuple((L1, L2)[row % 2] for row in range(8)))
    for cls in (Shallow, Factors):
        scores = fitted(cls, data).scores(who({}, {}, {}, n=6, traits=(L1, L2, {})))[0]
        assert scores[0, ::2].min() > scores[0, 1::2].max()
        assert scores[1, 1::2].min() > scores[1, ::2].max()
        assert not scores[2].any()


def test_without_traits_ease_and_ials_are_the_plain_ones(rich: Dataset) -> None:
    plain = replace(rich, user_traits=(), item_traits=())
    students = Students.of(plain, np.arange(12))
    ease, ials = fitted(Shallow, plain), fitted(Factors, plain)
    matrix = plain.train_matrix
    assert np.array_equal(ease.scores(students)[0], matrix @ linear.ease(matrix, 2.0)[0])
    items = linear.alternate(matrix, 4, 0.4, np.random.default_rng(3))
    p = linear.fold_in(matrix, items, items.T @ items, 0.4)
    np.testing.assert_allclose(ials.scores(students)[0], p @ items.T, atol=1e-6)


def test_ease_keeps_to_the_most_popular(rich: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shallow, "MAX_ITEMS", 4)
    one = fitted(Shallow, rich)
    counts = np.bincount(rich.train.item_idx)
    scored = np.flatnonzero(one.scores(Students.of(rich, np.arange(12))).any(axis=(0, 1)))
    assert len(scored) == 4
    assert counts[scored].min() >= np.delete(counts, scored).max()


def test_a_value_met_after_training_says_nothing(rich: Dataset) -> None:
    histories = ({0: 1.0, 3: 2.0}, {0: 1.0, 3: 2.0})
    students = who(*histories, n=9, traits=({"niveau": ("M1",), "ville": ("Parakou",)}, {}))
    for one in fit_all(rich, SETTINGS):
        scores = one.scores(students)
        assert np.array_equal(scores[:, 0], scores[:, 1]), one.name


# --- Factors -------------------------------------------------------------------------------------


def test_rotated_factors_give_the_same_scores_and_profiles(rich: Dataset) -> None:
    one = fitted(Factors, rich)
    assert isinstance(one, Factors)
    reference = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    turned = one.aligned(reference)
    students = Students.of(rich, np.arange(12))
    np.testing.assert_allclose(turned.scores(students), one.scores(students), atol=1e-5)
    np.testing.assert_allclose(
        turned.profiles() @ turned.profiles().T, one.profiles() @ one.profiles().T, atol=1e-4
    )
    assert np.linalg.norm(turned.q - reference) < np.linalg.norm(one.q - reference)
    np.testing.assert_allclose(turned.aligned(one.q).q, one.q, atol=1e-5)


def test_profiles_are_the_correlation_of_two_epreuves_over_students(rich: Dataset) -> None:
    one = fitted(Factors, rich)
    assert isinstance(one, Factors)
    scores = one.scores(Students.of(rich, np.arange(12)))[0].astype(np.float64)
    expected = np.corrcoef((scores - scores.mean(axis=1, keepdims=True)).T)
    np.testing.assert_allclose(one.profiles() @ one.profiles().T, expected, atol=1e-4)


# --- Those of the history -------------------------------------------------------------------------


# EASE goes further: nothing of the student's own row has a part in it (test_linear).
@pytest.mark.parametrize("name", [name for name in ALL if name != "ease"])
def test_an_epreuve_of_the_history_has_no_part_in_its_own_score(name: str, rich: Dataset) -> None:
    one = fitted(SIGNALS[name], rich)
    whole = Students.of(rich, np.arange(12))
    scores = one.scores(replace(whole, seen_too=True))
    dense = whole.histories.toarray()
    for user, item in zip(*np.nonzero(dense), strict=True):
        without = dense[user].copy()
        without[item] = 0
        alone = one.scores(Students(csr_matrix(without[None]), (whole.traits[user],)))
        # iALS keeps the penalty of the whole history: what is asked for is the same, a little less.
        close = 0.05 if name == "ials" else 1e-5
        np.testing.assert_allclose(scores[:, user, item], alone[:, 0, item], atol=close)


@pytest.mark.parametrize("name", ALL)
def test_asking_for_the_seen_ones_changes_no_score_of_the_unseen(name: str, rich: Dataset) -> None:
    one = fitted(SIGNALS[name], rich)
    students = Students.of(rich, np.arange(12))
    unseen = students.histories.toarray() == 0
    asked, plain = one.scores(replace(students, seen_too=True)), one.scores(students)
    assert np.array_equal(asked[:, unseen], plain[:, unseen])


# --- The registry --------------------------------------------------------------------------------


def names(data: Dataset) -> tuple[str, ...]:
    return tuple(one.name for one in fit_all(data, SETTINGS))


def without_dates(data: Dataset, dates: int | None = None) -> Dataset:
    known = None if dates is None else np.full(len(data.train), dates)
    return replace(data, train=replace(data.train, timestamps=known))


def test_a_signal_that_the_log_cannot_feed_is_absent(rich: Dataset) -> None:
    assert names(rich) == ALL == tuple(SIGNALS)
    for undated in (without_dates(rich), without_dates(rich, 0)):
        assert set(ALL) - set(names(undated)) == {"ensemble"}
    assert set(ALL) - set(names(replace(rich, user_traits=()))) == {"groupe"}
    assert set(ALL) - set(names(replace(rich, item_traits=()))) == {"profil"}
    assert set(ALL) - set(names(replace(rich, item_traits=(ALGEBRE,) * 9))) == {"profil"}


@pytest.mark.parametrize("name", ALL)
def test_each_says_its_columns_of_every_student_and_epreuve(name: str, rich: Dataset) -> None:
    one = fitted(SIGNALS[name], rich)
    scores = one.scores(Students.of(rich, np.array([5, 2])))
    assert scores.shape == (len(one.columns), 2, 9)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    each = [one.scores(Students.of(rich, np.array([user])))[:, 0] for user in (5, 2)]
    np.testing.assert_allclose(scores, np.stack(each, axis=1), atol=1e-6)


def test_restored_from_sorted_json_each_says_the_same_bits_in_the_same_order(rich: Dataset) -> None:
    before = fit_all(rich, SETTINGS)
    arrays, values = signals.tensors(before)
    assert {array.dtype.name for array in arrays.values()} <= {"float32", "int64"}
    after = signals.restored(arrays, json.loads(json.dumps(values, sort_keys=True)))
    assert [one.columns for one in after] == [one.columns for one in before]
    students = replace(Students.of(rich, np.arange(12)), seen_too=True)
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old.scores(students), new.scores(students))


def test_a_signal_that_no_longer_exists_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="lune"):
        signals.restored({}, {"longueur": {"n_items": 3}, "lune": {}})


def test_scoring_leaves_the_students_as_they_were(rich: Dataset) -> None:
    def content(students: Students) -> list[FloatArray]:
        matrix = students.histories
        return [matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()]

    students = replace(Students.of(rich, np.arange(12)), seen_too=True)
    before = content(students)
    for one in fit_all(rich, SETTINGS):
        one.scores(students)
    assert all(map(np.array_equal, content(students), before))
