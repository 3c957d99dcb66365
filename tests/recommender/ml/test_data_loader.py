from dataclasses import replace

import numpy as np
import pytest

from apps.recommender.ml.data_loader import (
    Dataset,
    Interactions,
    NegativeSampler,
    Pairs,
    split_by_date,
    whole,
)
from apps.recommender.ml.errors import TooFewInteractions

DAY = 24 * 3600


def log(*rows: tuple[int, int, int]) -> Interactions:
    """Interactions of (user_id, item_id, timestamp)."""
    users, items, times = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Interactions(users, items, np.ones(len(rows), np.float32), times)


def shuffled(interactions: Interactions) -> Interactions:
    order = np.random.default_rng(0).permutation(len(interactions))
    return Interactions(
        interactions.user_ids[order],
        interactions.item_ids[order],
        interactions.weights[order],
        interactions.timestamps[order],
    )


def outside(dataset: Dataset, pairs: Pairs) -> set[tuple[int, int]]:
    users, items = dataset.user_ids[pairs.user_idx], dataset.item_ids[pairs.item_idx]
    return set(zip(users.tolist(), items.tolist(), strict=True))


def test_the_fingerprint_does_not_depend_on_the_order_of_rows(checkerboard: Interactions) -> None:
    assert shuffled(checkerboard).fingerprint() == checkerboard.fingerprint()
    assert len(checkerboard.fingerprint()) == 64


@pytest.mark.parametrize("column", ["user_ids", "item_ids", "weights", "timestamps"])
def test_the_fingerprint_changes_with_one_value_of_any_column(
    checkerboard: Interactions, column: str
) -> None:
    values = getattr(checkerboard, column).copy()
    values[5] += 5000
    assert replace(checkerboard, **{column: values}).fingerprint() != checkerboard.fingerprint()


def test_a_pair_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="qu'une fois"):
        log((1, 1, 0), (2, 1, 5), (1, 1, 9))


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="même longueur"):
        Interactions(np.arange(2), np.arange(2), np.ones(3, np.float32), np.arange(2))


def test_one_date_parts_the_log_in_80_10_10(checkerboard: Interactions, board: Dataset) -> None:
    time_of = dict(
        zip(
            zip(checkerboard.user_ids.tolist(), checkerboard.item_ids.tolist(), strict=True),
            checkerboard.timestamps.tolist(),
            strict=True,
        )
    )
    train, validation, test = (
        sorted(time_of[pair] for pair in outside(board, part))
        for part in (board.train, board.validation, board.test)
    )
    assert (len(train), len(validation), len(test)) == (360, 45, 45)
    assert train[-1] < validation[0]
    assert validation[-1] < test[0]


def test_rows_are_the_sorted_outside_ids(checkerboard: Interactions, board: Dataset) -> None:
    assert board.user_ids.tolist() == sorted(set(checkerboard.user_ids.tolist()))
    assert board.item_ids.tolist() == sorted(set(checkerboard.item_ids.tolist()))
    everything = board.train + board.validation + board.test
    assert outside(board, everything) == outside(board, whole(checkerboard).train)


def test_ties_of_the_date_are_broken_by_id_whatever_the_order_of_rows() -> None:
    rows = [(user, item, 0) for user in range(1, 3) for item in range(8)]
    tied = log(*rows, *[(3, item, 30 * DAY) for item in range(4)])
    first, second = split_by_date(_known_late(tied)), split_by_date(shuffled(_known_late(tied)))
    for part in ("train", "validation", "test"):
        assert outside(first, getattr(first, part)) == outside(second, getattr(second, part))


def _known_late(tied: Interactions) -> Interactions:
    """The same with one early pair of the late user, so that there is someone to measure."""
    early = log((3, 9, -DAY))
    columns = ("user_ids", "item_ids", "weights", "timestamps")
    return Interactions(*(np.append(getattr(tied, c), getattr(early, c)) for c in columns))


def test_a_log_within_a_week_holds_out_the_last_of_each_user() -> None:
    rows = [(user, item, user * 10 + item) for user in (1, 2) for item in range(10)]
    dataset = split_by_date(log(*rows))
    assert outside(dataset, dataset.train) == {(u, i) for u in (1, 2) for i in range(8)}
    assert outside(dataset, dataset.validation) == {(1, 8), (2, 8)}
    assert outside(dataset, dataset.test) == {(1, 9), (2, 9)}


def test_a_short_log_of_few_pairs_a_user_still_fills_both_parts() -> None:
    dataset = split_by_date(log(*[(user, item, item) for user in range(4) for item in range(5)]))
    assert len(dataset.validation) == len(dataset.test) == 2


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "Aucune interaction"),
        ([(1, item, item * DAY) for item in range(30)], "1 étudiant"),
        ([(user, 1, user * DAY) for user in range(30)], "1 épreuve"),
        ([(user, user, user * DAY) for user in range(30)], "Rien sur quoi valider"),
        ([(1, 1, 0), (2, 2, 0)], "Rien sur quoi valider"),
    ],
)
def test_a_log_with_nothing_to_learn_is_refused_in_a_clear_sentence(
    rows: list[tuple[int, int, int]], sentence: str
) -> None:
    with pytest.raises(TooFewInteractions, match=sentence):
        split_by_date(log(*rows))


def test_nothing_to_test_on_is_refused_too() -> None:
    known = [(user, item, item) for user in (1, 2) for item in range(9)]
    strangers = [(9, 1, 30 * DAY), (9, 2, 30 * DAY)]
    with pytest.raises(TooFewInteractions, match="Rien sur quoi tester"):
        split_by_date(log(*known, *strangers))


def test_whole_puts_everything_in_training_on_the_same_rows(
    checkerboard: Interactions, board: Dataset
) -> None:
    everything = whole(checkerboard)
    assert len(everything.train) == len(checkerboard)
    assert len(everything.validation) == len(everything.test) == 0
    assert np.array_equal(everything.user_ids, board.user_ids)
    assert np.array_equal(everything.item_ids, board.item_ids)


def test_only_users_with_a_training_positive_are_measured() -> None:
    early = [(user, item, item) for user in (1, 2) for item in range(8)]
    late = [(1, 20, 30 * DAY), (9, 21, 31 * DAY), (2, 22, 32 * DAY), (9, 23, 33 * DAY)]
    dataset = split_by_date(log(*early, *late))
    measured = dataset.part("validation") + dataset.part("test")
    assert outside(dataset, measured) == {(1, 20), (2, 22)}


def test_a_training_positive_is_never_drawn_and_all_else_is(board: Dataset) -> None:
    sampler = NegativeSampler(board.train, board.n_users, board.n_items)
    drawn = sampler.sample(np.arange(board.n_users), 500, np.random.default_rng(0))
    seen = board.matrix(board.train).toarray() > 0
    assert not seen[drawn.user_idx, drawn.item_idx].any()
    assert np.array_equal(np.unique(drawn.user_idx * 30 + drawn.item_idx), np.flatnonzero(~seen))


def test_a_planted_validation_or_test_positive_is_drawn() -> None:
    def pairs(*rows: tuple[int, int]) -> Pairs:
        users, items = np.array(rows).T
        return Pairs(users, items)

    dataset = Dataset(
        np.arange(2),
        np.arange(4),
        train=pairs((0, 0), (0, 1), (1, 2)),
        validation=pairs((0, 2)),
        test=pairs((0, 3)),
    )
    sampler = NegativeSampler(dataset.train, 2, 4)
    drawn = sampler.sample(np.zeros(1, np.int64), 100, np.random.default_rng(0))
    assert set(drawn.item_idx.tolist()) == {2, 3}


def test_free_items_are_drawn_evenly() -> None:
    positives = Pairs(np.zeros(5, np.int64), np.array([0, 3, 4, 5, 9]))
    drawn = NegativeSampler(positives, 1, 12).sample(
        np.zeros(1, np.int64), 70_000, np.random.default_rng(0)
    )
    counts = np.bincount(drawn.item_idx, minlength=12)
    assert counts[[0, 3, 4, 5, 9]].sum() == 0
    assert counts[[1, 2, 6, 7, 8, 10, 11]] == pytest.approx(10_000, rel=0.05)


def test_the_negatives_are_the_same_where_the_free_items_are_too_many_to_list(
    board: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn() -> list[int]:
        sampler = NegativeSampler(board.train, board.n_users, board.n_items)
        return sampler.sample(board.train.user_idx, 4, np.random.default_rng(7)).item_idx.tolist()

    listed = drawn()
    monkeypatch.setattr("apps.recommender.ml.data_loader._FREE_CELLS", 0)
    assert drawn() == listed


def test_a_user_who_likes_everything_gets_no_negative() -> None:
    everything = Pairs(np.zeros(4, np.int64), np.arange(4))
    all_but_one = Pairs(np.ones(3, np.int64), np.array([0, 1, 3]))
    sampler = NegativeSampler(everything + all_but_one, 2, 4)
    drawn = sampler.sample(np.array([0, 1, 0]), 3, np.random.default_rng(0))
    assert (drawn.user_idx.tolist(), drawn.item_idx.tolist()) == ([1, 1, 1], [2, 2, 2])


def test_the_same_generator_draws_the_same_negatives(board: Dataset) -> None:
    sampler = NegativeSampler(board.train, board.n_users, board.n_items)
    draws = [sampler.sample(board.train.user_idx, 4, np.random.default_rng(s)) for s in (7, 7, 8)]
    assert np.array_equal(draws[0].item_idx, draws[1].item_idx)
    assert not np.array_equal(draws[0].item_idx, draws[2].item_idx)
