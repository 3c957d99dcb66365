import json

import numpy as np
import pytest

from apps.recommender.ml import placement as module
from apps.recommender.ml.data_loader import Dataset, FloatArray
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.placement import Placement
from tests.recommender.ml.cases import log_of, pairs

ALGEBRE, OPTIQUE = {"matiere": ("ALGEBRE",)}, {"matiere": ("OPTIQUE",)}
TEXTS = ("anneaux et corps", "groupes finis", "lentilles minces", "miroirs plans", "", "")
# Épreuves 0, 1 and 4 are of algebra; nobody took 5.
TRAITS: tuple[Traits, ...] = (ALGEBRE, ALGEBRE, OPTIQUE, OPTIQUE, ALGEBRE, OPTIQUE)
TAKEN = pairs(*[(student, item) for student in range(4) for item in range(5)])
LIKES_ALGEBRE = np.array([2, 2, -2, -2, 2, 0], np.float32)


def bank(traits: tuple[Traits, ...] = TRAITS, texts: tuple[str, ...] = TEXTS) -> Dataset:
    return log_of(TAKEN, 4, 6, items=traits, texts=texts)


def placed(data: Dataset, *new: tuple[str, Traits]) -> FloatArray:
    placement = Placement.fit(data)
    assert placement is not None
    likeness = placement.likeness([text for text, _ in new], [traits for _, traits in new])
    scores = placement.scores(LIKES_ALGEBRE, likeness)
    assert scores.dtype == np.float32
    assert scores.shape == (len(new),)
    return scores


def test_a_new_epreuve_of_a_liked_kind_gets_a_higher_score() -> None:
    liked, disliked = placed(bank(), ("", ALGEBRE), ("", OPTIQUE))
    assert liked > 1 > 0 > disliked


def test_words_alone_place_an_epreuve() -> None:
    known = placed(bank(traits=()), ("corps finis", {}), ("miroirs et lentilles", {}))
    assert known[0] > known[1]


def test_words_tell_apart_what_traits_do_not() -> None:
    liked, disliked = placed(bank(), ("anneaux", OPTIQUE), ("lentilles", OPTIQUE))
    assert liked > disliked


def test_like_nothing_known_it_gets_the_mean_of_the_known() -> None:
    traits: Traits = {"matiere": ("CHIMIE",)}
    alone, nothing = placed(bank(), ("benzène", traits), ("", {}))
    assert alone == nothing == pytest.approx(LIKES_ALGEBRE[:5].mean())  # nobody took the last


def test_by_hand_from_one_trait() -> None:
    """Two épreuves of one kind, one of another, as popular: s = m + k·(K + λ/w)⁻¹·(s - m)."""
    data = log_of(
        pairs((0, 0), (0, 1), (1, 2), (1, 0), (0, 2), (1, 1)),
        2,
        3,
        items=(ALGEBRE, ALGEBRE, OPTIQUE),
    )
    placement = Placement.fit(data)
    assert placement is not None
    new = placement.likeness([""], [ALGEBRE])
    assert new.tolist() == [[1, 1, 0]]
    known = np.array([3, 1, -1], np.float32)
    ridge = module.PENALTY / np.log(3)
    kernel = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]) + ridge * np.eye(3)
    expected = 1 + new @ np.linalg.solve(kernel, known - 1)
    np.testing.assert_allclose(placement.scores(known, new), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("traits", "texts"),
    [((), ()), (({},) * 6, ("",) * 6), ((ALGEBRE,) * 6, ("", " ", "de", "", "", ""))],
)
def test_where_nothing_is_known_there_is_no_placement(
    traits: tuple[Traits, ...], texts: tuple[str, ...]
) -> None:
    assert Placement.fit(bank(traits, texts)) is None


def test_only_the_most_popular_are_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ITEMS", 2)
    train = pairs((0, 1), (1, 1), (0, 3), (1, 3), (0, 0), (1, 2))
    placement = Placement.fit(log_of(train, 2, 6, items=TRAITS, texts=TEXTS))
    assert placement is not None
    assert placement.kept.tolist() == [1, 3]


def test_restored_it_places_to_the_same_bits() -> None:
    placement = Placement.fit(bank())
    assert placement is not None
    arrays, values = placement.tensors()
    again = Placement.restored(arrays, json.loads(json.dumps(values, sort_keys=True)))
    new = ["corps de nombres", "lentilles"], [ALGEBRE, {}]
    likeness = placement.likeness(*new)
    assert np.array_equal(again.likeness(*new), likeness)
    assert np.array_equal(
        again.scores(LIKES_ALGEBRE, likeness), placement.scores(LIKES_ALGEBRE, likeness)
    )
    assert {array.dtype.name for array in arrays.values()} == {"float32", "int64"}
