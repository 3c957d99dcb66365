import numpy as np

from apps.recommender.ml.metadata import Field, Metadata, fields_of

TRAITS = ({"genre": ("action", "drame")}, {"genre": ("drame",)}, {})


def test_rows_are_in_the_order_of_the_ids_and_who_is_absent_has_no_trait() -> None:
    metadata = Metadata({5: {"niveau": ("L1",)}}, {8: {"matiere": ("ALGEBRE",)}}, {9: "Anneaux"})
    users, items, texts = metadata.of_rows(np.array([4, 5]), np.array([8, 9]))
    assert users == ({}, {"niveau": ("L1",)})
    assert items == ({"matiere": ("ALGEBRE",)}, {})
    assert texts == ("", "Anneaux")


def test_where_nothing_is_known_there_are_no_rows() -> None:
    assert Metadata().of_rows(np.arange(3), np.arange(3)) == ((), (), ())


def test_the_values_of_a_row_share_a_sum_of_one() -> None:
    matrix = Field("genre", ("action", "drame")).matrix(TRAITS)
    assert matrix.dtype == np.float32
    assert matrix.toarray().tolist() == [[0.5, 0.5], [0, 1], [0, 0]]


def test_a_value_met_later_says_nothing_and_takes_no_share() -> None:
    later = ({"genre": ("western", "drame")}, {"genre": ("western",)}, {"epoque": ("drame",)})
    matrix = Field("genre", ("action", "drame")).matrix(later)
    assert matrix.toarray().tolist() == [[0, 1], [0, 0], [0, 0]]


def test_fields_and_values_are_in_alphabetical_order() -> None:
    rows = ({"niveau": ("L2",), "filiere": ("PHYS",)}, {"niveau": ("L1",), "filiere": ("MATH",)})
    known = fields_of(rows)
    assert known == [Field("filiere", ("MATH", "PHYS")), Field("niveau", ("L1", "L2"))]
    assert fields_of(rows[::-1]) == known


def test_one_value_for_all_is_no_field() -> None:
    assert fields_of(({"niveau": ("L1",)}, {"niveau": ("L1",)}, {})) == []
    assert fields_of(()) == []
