from xml.etree import ElementTree

import pytest

from benchmarks import scale

SIZES = [
    {
        "etudiants": students,
        "epreuves": epreuves,
        "fichiers_mo": 1 + epreuves / 100,
        "memoire_mo": 10 + epreuves / 50 + students / 1000,
        "reponse_ms": 2 + epreuves / 500,
        "entrainement_s": 5.0 + students / 100,
    }
    for students, epreuves in ((500, 500), (500, 1000), (500, 2000), (1000, 500))
]


def test_a_slope_is_between_sizes_that_differ_in_one_thing():
    found = scale.per_row(SIZES)
    assert found["par_1000_epreuves"]["memoire_mo"] == pytest.approx(20)
    assert found["par_1000_epreuves"]["entrainement_s"] == 0
    assert found["par_1000_etudiants"]["memoire_mo"] == pytest.approx(1)
    assert found["par_1000_etudiants"]["entrainement_s"] == pytest.approx(10)


def test_bytes_per_row_are_those_of_the_rows_that_one_bank_has_more():
    assert scale.slopes((100, 8192, 4096), (300, 28_192, 14_096)) == {"table": 100, "index": 50}


def test_the_picture_is_one():
    ElementTree.fromstring(scale.picture(SIZES))  # noqa: S314
