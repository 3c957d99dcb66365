from dataclasses import replace

import numpy as np
import pytest

from apps.recommender.ml.data_loader import Dataset, Interactions, Pairs, split_by_date, whole
from apps.recommender.ml.recency import SHARES, forgetting

DAY = 24 * 3600
N = 30


def turning(turn: float) -> Dataset:
    """Even students like even épreuves; from the share `turn` of the log on, odd ones."""
    rng = np.random.default_rng(4)
    rows = []
    for student in range(N):
        kind = rng.permutation(np.arange(student % 2, 2 * N, 2))
        other = rng.permutation(np.arange((student + 1) % 2, 2 * N, 2))
        days = np.sort(rng.choice(400, 24, replace=False))
        before = days < turn * 400
        items = np.where(before, kind[:24], other[:24])
        rows += [(student, item, day * DAY) for item, day in zip(items, days, strict=True)]
    users, items, dates = np.array(rows).T
    return split_by_date(Interactions(users, items, np.ones(len(users), np.float32), dates))


def test_where_tastes_turn_a_half_life_is_chosen() -> None:
    data = turning(0.6)
    found = forgetting(data)
    length = np.ptp(data.train.timestamps)
    assert found.half_life in {share * length for share in SHARES if share}
    assert np.array_equal(found.train.item_idx, data.train.item_idx)
    newest = np.argmax(data.train.timestamps)
    confidence = found.confidence.of(None, data.train.timestamps, len(data.train))
    assert confidence[newest] == confidence.max() > 1


def test_where_tastes_stay_nothing_is_forgotten(board: Dataset) -> None:
    assert forgetting(board).half_life is None
    assert forgetting(turning(1)).half_life is None


@pytest.mark.parametrize("dates", [None, 0])
def test_an_undated_log_forgets_nothing(board: Dataset, dates: int | None) -> None:
    known = None if dates is None else np.full(len(board.train), dates)
    train = Pairs(board.train.user_idx, board.train.item_idx, board.train.weights, known)
    data = replace(board, train=train)
    assert forgetting(data) is data


def test_without_validation_there_is_nothing_to_choose_by(checkerboard: Interactions) -> None:
    data = whole(checkerboard)
    assert forgetting(data) is data
