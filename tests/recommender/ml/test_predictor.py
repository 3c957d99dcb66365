from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.recommender.ml import ncf
from apps.recommender.ml.architectures import ARCHITECTURES, HYBRID
from apps.recommender.ml.artifact import erase_user, save
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, FloatArray
from apps.recommender.ml.errors import CorruptArtifact
from apps.recommender.ml.model import Model
from apps.recommender.ml.ncf import Ncf
from apps.recommender.ml.predictor import Past, Predictor
from apps.recommender.ml.registry import build

NOBODYS = Past(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64), {})
EVEN, ODD = range(1000, 1030, 2), range(1001, 1030, 2)


def past_of(board: Dataset, user_id: int) -> Past:
    """Their training part, as the database would tell it."""
    known = board.train.of_users(np.array([user_id - 1000]))
    return Past(board.item_ids[known.item_idx], known.weights, known.timestamps, {})


@pytest.fixture(scope="module", params=(*ARCHITECTURES, HYBRID))
def trained(
    request: pytest.FixtureRequest,
    board: Dataset,
    quick: TrainingConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Model, Path]:
    model = build(request.param, quick)
    model.fit(board, np.random.default_rng(quick.seed))
    return model, save(tmp_path_factory.mktemp("models"), "v1", model, board, {}).path


@pytest.fixture
def predictor(trained: tuple[Model, Path]) -> Predictor:
    return Predictor.load(trained[1])


def test_scores_are_the_probabilities_of_the_model(
    predictor: Predictor, trained: tuple[Model, Path], board: Dataset
) -> None:
    item_ids, probabilities = predictor.user_scores(1004, past_of(board, 1004))
    assert np.array_equal(item_ids, board.item_ids)
    assert probabilities.dtype == np.float32
    logits = torch.from_numpy(trained[0].scores(*board.history(4), 4))
    torch.testing.assert_close(torch.from_numpy(probabilities), torch.sigmoid(logits))


def test_a_student_is_shown_what_those_of_their_kind_like(
    predictor: Predictor, board: Dataset
) -> None:
    for user_id in (*EVEN, *ODD):
        item_ids, probabilities = predictor.user_scores(user_id, past_of(board, user_id))
        best = item_ids[np.argsort(-probabilities)[:10]]
        assert set(best % 2) == {user_id % 2}


def test_the_neighbours_of_an_epreuve_are_liked_by_the_same_people(predictor: Predictor) -> None:
    for item_id in range(7000, 7030):
        neighbours, likeness = predictor.similar_items(item_id)
        assert len(neighbours) == 29
        assert item_id not in neighbours
        assert likeness.min() >= 0
        assert likeness.max() <= 1
        assert set(neighbours[np.argsort(-likeness)[:10]] % 2) == {item_id % 2}


def test_it_says_whom_and_what_it_knows(predictor: Predictor) -> None:
    assert (predictor.version, predictor.n_users, predictor.n_items) == ("v1", 30, 30)
    assert predictor.knows_user(1000)
    assert not predictor.knows_user(0)
    assert predictor.knows_item(7029)
    assert not predictor.knows_item(29)


def test_an_unknown_student_or_epreuve_is_a_key_error(predictor: Predictor, board: Dataset) -> None:
    with pytest.raises(KeyError):
        predictor.similar_items(1)
    assert not predictor.can_score(1, NOBODYS)
    if predictor.explains:  # a history is all it needs
        assert predictor.can_score(1, past_of(board, 1004))
        return
    assert not predictor.can_score(1, past_of(board, 1004))
    with pytest.raises(KeyError):
        predictor.user_scores(1, past_of(board, 1004))


def test_answers_are_the_callers_own(predictor: Predictor, board: Dataset) -> None:
    past = past_of(board, 1004)
    item_ids, probabilities = predictor.user_scores(1004, past)
    probabilities[:] = 2
    item_ids[:] = 0
    assert predictor.user_scores(1004, past)[1].max() <= 1
    assert np.array_equal(predictor.user_scores(1004, past)[0], board.item_ids)


def test_threads_share_one_predictor(predictor: Predictor, board: Dataset) -> None:
    def scores(user_id: int) -> FloatArray:
        return predictor.user_scores(user_id, past_of(board, user_id))[1]

    users = [*EVEN, *ODD] * 5
    alone = [scores(user_id) for user_id in users]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(scores, users))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_warming_up_changes_no_answer(predictor: Predictor, board: Dataset) -> None:
    past = past_of(board, 1000)
    before = predictor.user_scores(1000, past)[1]
    predictor.warm_up()
    assert np.array_equal(predictor.user_scores(1000, past)[1], before)


def test_profiles_of_a_sample_of_users_still_find_neighbours(
    trained: tuple[Model, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ncf, "MAX_PROFILE_CELLS", 30 * 9)
    neighbours, likeness = Predictor.load(trained[1]).similar_items(7000)
    assert set(neighbours[np.argsort(-likeness)[:10]] % 2) == {0}


def test_an_erased_student_is_unknown_and_nobody_else_changes(
    board: Dataset, small_model: Ncf, tmp_path: Path
) -> None:
    info = save(tmp_path, "v1", small_model, board, {})
    before = Predictor.load(info.path)
    erase_user(info.path, 1003)
    after = Predictor.load(info.path, sha256=info.sha256)
    assert not after.knows_user(1003)
    assert not after.knows_user(-1)
    assert after.n_users == 30
    past = past_of(board, 1004)
    assert np.array_equal(after.user_scores(1004, past)[1], before.user_scores(1004, past)[1])
    assert np.array_equal(after.similar_items(7004)[1], before.similar_items(7004)[1])


def test_a_model_of_other_bytes_than_registered_is_refused(
    board: Dataset, small_model: Ncf, tmp_path: Path
) -> None:
    info = save(tmp_path, "v1", small_model, board, {})
    with pytest.raises(CorruptArtifact):
        Predictor.load(info.path, sha256="0" * 64)
