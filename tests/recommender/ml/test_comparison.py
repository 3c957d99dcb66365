from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.recommender.ml.artifact import save
from apps.recommender.ml.comparison import compare, newer_than, predictor_scores
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, Interactions, split_by_date
from apps.recommender.ml.errors import TooFewInteractions
from apps.recommender.ml.evaluation import evaluate, evaluate_model
from apps.recommender.ml.metadata import Metadata
from apps.recommender.ml.predictor import Predictor
from apps.recommender.ml.registry import of_architecture
from tests.recommender.ml.cases import drawn
from tests.recommender.ml.conftest import DAY

CONFIG = TrainingConfig(epochs=5, batch_size=64, embedding_dim=8, learning_rate=0.01)
# Of 450 pairs, one a day: the test part is the last 45.
CUT = 404 * DAY


@pytest.fixture(scope="module")
def learnt(board: Dataset) -> Predictor:
    model = of_architecture(CONFIG)
    model.fit(board, np.random.default_rng(1))
    return Predictor.unsaved(model, board)


@pytest.fixture(scope="module")
def ignorant(board: Dataset) -> Predictor:
    """One that was never trained."""
    return Predictor.unsaved(drawn("gmf", board), board)


@pytest.fixture(scope="module")
def trial(board: Dataset) -> Dataset:
    return newer_than(board, CUT)


def test_what_is_newer_is_the_test_and_the_rest_is_the_past(board: Dataset, trial: Dataset) -> None:
    assert (len(trial.train), len(trial.validation), len(trial.test)) == (405, 0, 45)
    assert trial.test.timestamps is not None
    assert trial.test.timestamps.min() == CUT + DAY
    assert len(newer_than(board, 449 * DAY).test) == 0


def test_the_better_model_is_the_one_that_learnt(
    learnt: Predictor, ignorant: Predictor, trial: Dataset
) -> None:
    gain = compare(learnt, ignorant, trial)
    assert gain.low > 0.1
    assert gain.low < gain.mean < gain.high
    assert (gain.n_interactions, gain.n_students) == (45, len(np.unique(trial.test.user_idx)))
    loss = compare(ignorant, learnt, trial)
    assert loss.mean == pytest.approx(-gain.mean)


def test_a_model_is_as_good_as_itself(learnt: Predictor, trial: Dataset) -> None:
    same = compare(learnt, learnt, trial)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_a_saved_model_is_measured_as_the_unsaved_one(
    board: Dataset, learnt: Predictor, trial: Dataset, tmp_path: Path
) -> None:
    path = save(tmp_path, "v1", learnt._model, board, {}).path
    loaded = Predictor.load(path)
    assert compare(learnt, loaded, trial).mean == 0


def test_on_the_split_it_learnt_from_it_measures_what_evaluation_measures(
    board: Dataset, learnt: Predictor
) -> None:
    """Production and evaluation are one."""
    known = replace(board, validation=board.validation.take(np.empty(0, np.int64)))
    told = evaluate(predictor_scores(learnt, known), known).metrics["ndcg_at_10"]
    measured = evaluate_model(learnt._model, board).metrics["ndcg_at_10"]
    assert told == pytest.approx(measured)


def test_an_epreuve_that_neither_knows_nor_places_is_shown_by_neither(
    checkerboard: Interactions, learnt: Predictor, trial: Dataset
) -> None:
    later = _with_a_new_epreuve(checkerboard)
    newer = newer_than(split_by_date(later), CUT)
    assert newer.n_items == trial.n_items + 1
    scores = predictor_scores(learnt, newer)(np.array([0]))
    assert np.isnan(scores[0, -1])
    assert np.isfinite(scores[0, :-1]).all()


def test_an_epreuve_that_is_placed_among_its_like_counts(
    checkerboard: Interactions, tmp_path: Path
) -> None:
    """Its words are those of the even ones: it goes to who likes these."""
    words = {7000 + n: "paire pareille" if n % 2 == 0 else "impaire autre" for n in range(31)}
    known = Metadata(texts=words)
    board = split_by_date(checkerboard, known)
    model = of_architecture(CONFIG)
    model.fit(board, np.random.default_rng(1))
    placing = Predictor.load(save(tmp_path, "v1", model, board, {}).path)
    newer = newer_than(split_by_date(_with_a_new_epreuve(checkerboard), known), CUT)
    scores = predictor_scores(placing, newer)(np.array([0, 1]))
    assert scores[0, -1] > scores[1, -1]


def _with_a_new_epreuve(log: Interactions) -> Interactions:
    """That an even student takes at the very end."""
    return Interactions(
        np.append(log.user_ids, 1000),
        np.append(log.item_ids, 7030),
        np.append(log.weights, np.float32(1)),
        np.append(log.timestamps, 460 * DAY),
    )


def test_a_student_whom_a_model_never_met_is_given_the_most_popular(
    ignorant: Predictor, trial: Dataset
) -> None:
    stranger = replace(trial, user_ids=trial.user_ids + 5000)
    scores = predictor_scores(ignorant, stranger)(np.array([0, 1]))
    popular = np.bincount(trial.train.item_idx, minlength=trial.n_items)
    assert np.array_equal(scores, np.stack([popular, popular]))


def test_no_more_students_than_asked_are_drawn_by_the_seed(
    learnt: Predictor, ignorant: Predictor, trial: Dataset
) -> None:
    few = compare(learnt, ignorant, trial, most=5)
    assert few.n_students == 5
    assert few == compare(learnt, ignorant, trial, most=5)
    assert few != compare(learnt, ignorant, trial, most=5, seed=1)


def test_nothing_newer_is_a_clear_error(learnt: Predictor, board: Dataset) -> None:
    with pytest.raises(TooFewInteractions, match="plus récente"):
        compare(learnt, learnt, newer_than(board, 449 * DAY))
