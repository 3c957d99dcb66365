import numpy as np
import pytest

from apps.recommender.ml.content import ContentIndex

TEXTS = {
    10: ("analyse 1 suites numeriques et series", ("ANALYSE", "L1", "examen")),
    11: ("analyse 1 series entieres", ("ANALYSE", "L1", "partiel")),
    12: ("analyse 2 integrales multiples", ("ANALYSE", "L2", "examen")),
    13: ("mecanique du point", ("MECANIQUE", "L1", "examen")),
    14: ("l'algebre lineaire", ("ALGEBRE", "L2", "examen")),
    15: ("", ("ALGEBRE", "L2", "partiel")),
    16: ("thermodynamique des gaz", ()),
    17: ("", ()),
}


@pytest.fixture
def index() -> ContentIndex:
    texts, categories = zip(*TEXTS.values(), strict=True)
    return ContentIndex.fit(list(TEXTS), list(texts), list(categories))


def best(index: ContentIndex, item_id: int) -> int:
    others, likeness = index.similar(item_id)
    return int(others[np.argmax(likeness)])


def test_the_nearest_shares_words_and_subject(index: ContentIndex) -> None:
    assert best(index, 10) == 11
    assert best(index, 11) == 10


def test_without_words_the_metadata_speak(index: ContentIndex) -> None:
    assert best(index, 15) == 14


def test_likeness_is_between_0_and_1_and_never_with_itself(index: ContentIndex) -> None:
    for item_id in TEXTS:
        others, likeness = index.similar(item_id)
        assert others.tolist() == [other for other in TEXTS if other != item_id]
        assert likeness.dtype == np.float32
        assert likeness.min() >= 0
        assert likeness.max() <= 1


def test_likeness_is_mutual(index: ContentIndex) -> None:
    towards = dict(zip(*(array.tolist() for array in index.similar(10)), strict=True))
    back = dict(zip(*(array.tolist() for array in index.similar(12)), strict=True))
    assert towards[12] == pytest.approx(back[10])
    assert 0 < towards[12] < towards[11]


def test_an_item_without_text_nor_metadata_is_like_none(index: ContentIndex) -> None:
    assert index.similar(17)[1].max() == 0


def test_empty_words_do_not_make_things_alike() -> None:
    index = ContentIndex.fit([1, 2, 3], ["l'etude de la mer", "le vol de la pie", "vol"], [()] * 3)
    likeness = index.similar(2)[1]
    assert likeness[0] == 0
    assert likeness[1] > 0


def test_numbers_tell_courses_apart() -> None:
    index = ContentIndex.fit([1, 2, 3], ["analyse 1", "analyse 2", "analyse 1"], [()] * 3)
    assert best(index, 1) == 3


def test_the_same_twice_is_as_alike_as_can_be() -> None:
    twins = ContentIndex.fit([1, 2], ["algebre", "algebre"], [("L1",), ("L1",)])
    assert twins.similar(1)[1].tolist() == pytest.approx([1])


@pytest.mark.parametrize(("texts", "categories"), [(["analyse"], [("L1",)]), ([""], [()])])
def test_a_catalogue_of_one_has_no_neighbour(
    texts: list[str], categories: list[tuple[str, ...]]
) -> None:
    others, likeness = ContentIndex.fit([5], texts, categories).similar(5)
    assert len(others) == len(likeness) == 0


def test_an_empty_catalogue_knows_nothing() -> None:
    assert not ContentIndex.fit([], [], []).knows(1)


def test_an_unknown_item_is_a_key_error(index: ContentIndex) -> None:
    assert index.knows(10)
    assert not index.knows(99)
    with pytest.raises(KeyError):
        index.similar(99)
