from pathlib import Path

import numpy as np
import pytest

from benchmarks.protocols import holdout
from benchmarks.public_data import CLASSES, inputs, read_log, read_table
from tests.benchmarks.conftest import Files, N


def table(tmp_path: Path, header: str, values: list[str]) -> Path:
    file = tmp_path / "some.item"
    lines = [f"{place}\t{value}" for place, value in enumerate(values)]
    file.write_text("\n".join([f"id:token\t{header}", *lines]), encoding="utf-8")
    return file


def test_numbers_of_many_values_become_classes_of_about_as_many_lines(tmp_path: Path) -> None:
    ages = [str(age) for age in range(80)]
    traits = read_table(table(tmp_path, "age:token", ages)).traits
    classes = [traits[str(place)]["age"] for place in range(80)]
    assert len(set(classes)) == CLASSES
    assert all(classes.count(one) == 10 for one in classes)
    assert classes[0] == classes[9] != classes[10]


def test_classes_that_would_be_empty_are_dropped(tmp_path: Path) -> None:
    years = ["1995"] * 60 + [str(1900 + place) for place in range(40)]
    traits = read_table(table(tmp_path, "year:token", years)).traits
    assert 1 < len({one["year"] for one in traits.values()}) < CLASSES


def test_a_misprint_among_numbers_has_no_class(tmp_path: Path) -> None:
    years = [str(1900 + place % 20) for place in range(199)]
    traits = read_table(table(tmp_path, "year:token", [*years, "unkonwn"])).traits
    assert traits["199"] == {}
    assert len({one["year"] for one in traits.values() if one}) == CLASSES


def test_a_few_numbers_stay_as_they_are(tmp_path: Path) -> None:
    levels = [str(place % 12) for place in range(48)]
    traits = read_table(table(tmp_path, "level:float", levels)).traits
    assert {one["level"] for one in traits.values()} == {(str(level),) for level in range(12)}


def test_words_that_hardly_come_twice_are_a_title(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "name:token_seq", [f"Algèbre {n}" for n in range(9)]))
    assert found.texts["4"] == "algèbre 4"
    assert found.traits == {}


def test_words_that_come_again_are_several_values(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, "class:token_seq", ["Drama War", "War", "", "War"] * 3))
    assert found.texts == {}
    assert [found.traits[one] for one in "012"] == [
        {"class": ("Drama", "War")},
        {"class": ("War",)},
        {},
    ]


@pytest.mark.parametrize("kind", ["token", "float_seq"])
def test_a_value_of_each_line_tells_nothing(tmp_path: Path, kind: str) -> None:
    found = read_table(table(tmp_path, f"zip_code:{kind}", [f"T{n}" for n in range(30)]))
    assert (found.traits, found.texts) == ({}, {})


def test_a_log_holds_all_that_its_files_know(board: Files) -> None:
    log = read_log(board.log, items=board.items, users=board.users)
    assert inputs(log) == ["weights", "dates", "traits", "texts"]
    assert log.train.timestamps is not None
    assert log.train.timestamps[:2].tolist() == [0, 2000]
    assert log.train.weights is not None
    assert log.train.weights[:3].tolist() == [1, 3, 5]
    assert [set(one) for one in log.item_traits] == [{"year", "class"}] * N
    assert log.user_traits[:2] == ({"colour": ("white",)}, {"colour": ("black",)})
    assert log.item_texts[1] == 'the "white" 2', "in order of first sight, quotes and all"


def test_ids_only_passes_nothing_else(board: Files) -> None:
    rng = np.random.default_rng(1)
    task = holdout(board.log, rng, items=board.items, users=board.users, ids_only=True)
    log = task.train
    assert inputs(log) == []
    assert log.train.weights is log.train.timestamps is None
    assert (log.user_traits, log.item_traits, log.item_texts) == ((), (), ())
    _, confidences = log.history(0)
    assert set(confidences) == {1}
    full = holdout(board.log, np.random.default_rng(1), items=board.items, users=board.users)
    assert full.train.train.item_idx.tolist() == log.train.item_idx.tolist(), "the same split"
