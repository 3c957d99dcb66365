from dataclasses import replace

import numpy as np
import pytest

from apps.recommender.ml import first_stage
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.first_stage import EASE_GRID, IALS_GRID, FirstStage, tuned
from apps.recommender.ml.signals import Factors, Settings, Shallow, Signal, Students, fit_all

SETTINGS = Settings(dim=8, seed=3)
EVERYONE = np.arange(30)


@pytest.fixture(scope="module")
def stage(board: Dataset) -> FirstStage:
    return FirstStage(fit_all(board, SETTINGS))


def test_a_standardised_signal_has_mean_zero_and_deviation_one_over_the_unseen(
    stage: FirstStage, board: Dataset
) -> None:
    students = Students.of(board, EVERYONE)
    table = stage.table(students)
    unseen = students.histories.toarray() == 0
    assert stage.columns == ("ials", "ease", "ensemble", "popularite", "longueur")
    for column in table.columns[:3]:
        for row, open_to in zip(column, unseen, strict=True):
            alike = row[open_to].std() < 1e-4  # all that is left is of the other kind
            assert row[open_to].mean() == pytest.approx(0, abs=1e-4)
            assert alike or row[open_to].std() == pytest.approx(1, abs=1e-4)
            assert np.abs(row).max() < 100
    counts = np.log1p(np.bincount(board.train.item_idx, minlength=30))
    np.testing.assert_allclose(table.columns[3], np.tile(counts, (30, 1)), rtol=1e-6)


def test_who_is_told_nothing_has_zeros(stage: FirstStage, board: Dataset) -> None:
    nobody = Students(board.train_matrix[:1] * 0, ({},))
    nobody.histories.eliminate_zeros()
    table = stage.table(nobody)
    assert not table.columns[:3].any()
    assert not table.base.any()


def test_the_ranking_is_the_sum_of_the_two_linear_models(stage: FirstStage, board: Dataset) -> None:
    table = stage.table(Students.of(board, EVERYONE))
    assert np.array_equal(table.base, table.columns[0] + table.columns[1])
    liked = (EVERYONE[:, None] + EVERYONE) % 2 == 0
    lowest = np.where(liked, table.base, np.inf).min(axis=1)
    assert (lowest > np.where(liked, -np.inf, table.base).max(axis=1)).all()
    assert np.array_equal(table.p, stage.factors.p(Students.of(board, EVERYONE)))


def test_a_deviation_of_rounding_alone_is_no_taste() -> None:
    """Who took all of their kind has left what all is alike, but for float32's last digits."""
    scores = np.array([[0.9, 0.8, 0.1, 0.1 + 1e-8], [0.9, 0.8, 0.1, 0.2]], np.float32)
    unseen = np.array([[False, False, True, True]] * 2)
    standard = first_stage._standardised(scores, unseen)
    np.testing.assert_allclose(standard[0], [1.51, 1.32, 0, 0], atol=0.01)
    np.testing.assert_allclose(standard[1], [15, 13, -1, 1], rtol=1e-5)


def test_pairs_are_read_out_of_the_table(stage: FirstStage, board: Dataset) -> None:
    table = stage.table(Students.of(board, EVERYONE))
    signals, base = table.at(np.array([[4], [9]]), np.array([[1, 2], [3, 3]]))
    assert signals.shape == (2, 2, 5)
    assert np.array_equal(signals[0, 1], table.columns[:, 4, 2])
    assert base[1, 0] == table.base[9, 3]


def test_rotated_it_ranks_as_before(stage: FirstStage, board: Dataset) -> None:
    turned = stage.aligned(np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32))
    students = Students.of(board, EVERYONE)
    assert not np.allclose(turned.factors.q, stage.factors.q, atol=0.01)
    np.testing.assert_allclose(turned.table(students).base, stage.table(students).base, atol=1e-3)


def test_the_penalties_are_those_that_validation_prefers(board: Dataset) -> None:
    def ndcg(cls: type[Signal], settings: Settings) -> float:
        users = np.unique(board.part("validation").user_idx)
        one = cls.fit(board, settings)
        assert one is not None
        return first_stage.validation_ndcg(one.scores(Students.of(board, users))[0], board)

    found = tuned(board, SETTINGS)
    assert found == replace(SETTINGS, ials=found.ials, ease=found.ease)
    assert found.ials in IALS_GRID
    assert found.ease in EASE_GRID
    for cls, name, grid in ((Factors, "ials", IALS_GRID), (Shallow, "ease", EASE_GRID)):
        by_value = {value: ndcg(cls, replace(SETTINGS, **{name: value})) for value in grid}
        assert by_value[getattr(found, name)] == max(by_value.values())


def test_a_penalty_that_ranks_worse_is_not_chosen(
    board: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_stage, "IALS_GRID", (1e6, 0.4))
    assert tuned(board, SETTINGS).ials == 0.4


@pytest.mark.parametrize("cells", [1, 70, 2**21])
def test_blocks_are_all_users_in_order(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_stage, "_CELLS_AT_ONCE", cells)
    parts = list(first_stage.blocks(np.arange(7), 30))
    assert np.concatenate(parts).tolist() == list(range(7))
    assert max(map(len, parts)) == {1: 1, 70: 2}.get(cells, 7)
