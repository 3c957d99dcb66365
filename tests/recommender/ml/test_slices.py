from dataclasses import replace

import numpy as np
import pytest

from apps.recommender.ml import slices
from apps.recommender.ml.baselines import Popularity
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.evaluation import Evaluation, evaluate, evaluate_model
from apps.recommender.ml.slices import by_name, by_seniority, by_trait, intervals, on_rare_items


@pytest.fixture(scope="module")
def traits(board: Dataset) -> Dataset:
    """Twenty students of mathematics, ten of physics."""
    known = ({"filiere": ("MATH",)},) * 20 + ({"filiere": ("PHYS",)},) * 10
    return replace(board, user_traits=known)


@pytest.fixture(scope="module")
def popular(traits: Dataset) -> Evaluation:
    model = Popularity()
    model.fit(traits, np.random.default_rng(1))
    return evaluate_model(model, traits)


@pytest.fixture(scope="module")
def perfect(traits: Dataset) -> Evaluation:
    """Ranks by what the test part holds."""
    wanted = traits.matrix(traits.test).toarray()
    return evaluate(lambda user_idx: wanted[user_idx], traits)


def names_of(counts: dict[str, int]) -> list[str]:
    return [name for name, n in counts.items() for _ in range(n)]


@pytest.mark.parametrize(
    ("counts", "kept"),
    [
        ({"MATH": 10, "PHYS": 12}, {"MATH": 10, "PHYS": 12}),
        ({"MATH": 30, "PHYS": 20, "INFO": 9, "CHIM": 4}, {"MATH": 30, "PHYS": 20, "autres": 13}),
        # Three alone would be known from the mean of all and the means of the others.
        ({"MATH": 30, "PHYS": 20, "INFO": 3}, {"MATH": 30, "autres": 23}),
        ({"MATH": 30, "INFO": 3}, {"autres": 33}),
        ({"MATH": 30, "autres": 3}, {"autres": 33}),
        ({"INFO": 3}, {"autres": 3}),
    ],
)
def test_nobody_is_singled_out(counts: dict[str, int], kept: dict[str, int]) -> None:
    folded = slices._folded(names_of(counts))
    assert {name: folded.count(name) for name in folded} == kept


def test_each_slice_has_its_own_mean_and_all_of_them_the_whole_one(
    perfect: Evaluation, popular: Evaluation, traits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SMALLEST", 2)
    found = by_trait(perfect, popular, traits, "filiere")
    assert [one.name for one in found] == ["MATH", "PHYS"]
    assert sum(one.n for one in found) == perfect.n_users
    theirs = popular.ndcg_by_user[perfect.users < 20]
    assert found[0].popularity == pytest.approx(theirs.mean())
    assert found[0].value == 1
    low, high = found[0].gain
    assert low <= 1 - found[0].popularity <= high
    whole = sum(one.n * one.popularity for one in found) / perfect.n_users
    assert whole == pytest.approx(popular.metrics["ndcg_at_10"])


def test_a_student_without_the_trait_is_of_the_others(
    perfect: Evaluation, popular: Evaluation, traits: Dataset
) -> None:
    assert [one.name for one in by_trait(perfect, popular, traits, "niveau")] == ["autres"]


def test_who_had_little_to_tell_is_new(
    perfect: Evaluation, popular: Evaluation, traits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SMALLEST", 1)
    taken = np.bincount(traits.train.user_idx, minlength=traits.n_users)[perfect.users]
    most = int(np.median(taken))
    monkeypatch.setattr(slices, "NEW_MOST", most)
    counts = {one.name: one.n for one in by_seniority(perfect, popular, traits)}
    assert counts == {"anciens": (taken > most).sum(), "nouveaux": (taken <= most).sum()}


def test_what_few_took_is_found_or_not(
    perfect: Evaluation, popular: Evaluation, traits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_rare_items(perfect, popular, traits) is None  # all are taken by a dozen
    monkeypatch.setattr(slices, "RARE_MOST", 30)
    rare = on_rare_items(perfect, popular, traits)
    assert rare is not None
    assert (rare.value, rare.n) == (1, perfect.n_users)
    assert rare.popularity == pytest.approx(popular.metrics["recall_at_10"])


def test_a_metric_of_students_has_an_interval_around_it(popular: Evaluation) -> None:
    found = intervals(popular)
    assert set(found) == {
        "precision_at_10",
        "recall_at_10",
        "hr_at_10",
        "ndcg_at_10",
        "map_at_10",
    }
    for name, (low, high) in found.items():
        assert low <= popular.metrics[name] <= high


def test_slices_by_name_are_in_order_with_the_others_last(
    perfect: Evaluation, popular: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SMALLEST", 3)
    n = perfect.n_users
    names = ["zoologie"] * 4 + ["algèbre"] * (n - 8) + ["autres"] * 4
    assert [one.name for one in by_name(perfect, popular, names)] == [
        "algèbre",
        "zoologie",
        "autres",
    ]
