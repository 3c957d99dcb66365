from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.recommender.ml import ncf
from apps.recommender.ml import predictor as module
from apps.recommender.ml.architectures import ARCHITECTURES, HYBRID
from apps.recommender.ml.artifact import forget_users, save
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, FloatArray, Interactions, split_by_date
from apps.recommender.ml.errors import CorruptArtifact
from apps.recommender.ml.metadata import Metadata, Traits
from apps.recommender.ml.model import Model
from apps.recommender.ml.ncf import Ncf
from apps.recommender.ml.predictor import Newcomers, Past, Predictor
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
    forget_users(info.path, set(board.user_ids.tolist()) - {1003})
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


# --- The reasons, and who came after training -----------------------------------------------------

ALGEBRE, OPTIQUE = {"matiere": ("ALGEBRE",)}, {"matiere": ("OPTIQUE",)}
L1, L2 = {"niveau": ("L1",)}, {"niveau": ("L2",)}
STRANGER = 5  # whom no model met


@pytest.fixture(scope="module")
def informed(
    checkerboard: Interactions, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Predictor, Dataset]:
    """The checkerboard with traits and words, unequal in worth, forgetting in half a year."""
    metadata = Metadata(
        {user: (L1, L2)[user % 2] for user in range(1000, 1030)},
        {item: (ALGEBRE, OPTIQUE)[item % 2] for item in range(7000, 7030)},
        {item: ("anneaux", "lentilles")[item % 2] for item in range(7000, 7030)},
    )
    weights = np.random.default_rng(2).uniform(1, 5, len(checkerboard)).astype(np.float32)
    data = split_by_date(replace(checkerboard, weights=weights), metadata)
    data = data.with_half_life(180.0 * 24 * 3600)
    config = TrainingConfig(epochs=5, batch_size=64, embedding_dim=8, learning_rate=0.01)
    model = build(config.architecture, config)
    model.fit(data, np.random.default_rng(1))
    with torch.no_grad():  # a second stage that has plenty to say
        for parameter in model.network.parameters():
            torch.nn.init.normal_(
                parameter, std=0.2, generator=torch.Generator().manual_seed(parameter.numel())
            )
    path = save(tmp_path_factory.mktemp("models"), "v1", model, data, {}).path
    return Predictor.load(path), data


def past_in(data: Dataset, *item_ids: int, traits: Traits = L1) -> Past:
    n = len(item_ids)
    dates = int(data.train.timestamps.max()) - np.arange(n) * 40 * 24 * 3600
    return Past(np.array(item_ids), np.linspace(1, 5, n, dtype=np.float32), dates, traits)


def new_ones(predictor: Predictor) -> Newcomers:
    """7004 is known; 8000 is like the even ones, 8001 like the odd ones."""
    return predictor.newcomers(
        [8001, 7004, 8000], ["lentilles", "anneaux", "anneaux"], [OPTIQUE, ALGEBRE, ALGEBRE]
    )


def test_a_thing_of_the_past_adds_the_difference_that_it_makes(
    informed: tuple[Predictor, Dataset],
) -> None:
    predictor, data = informed
    assert predictor.explains
    newcomers = new_ones(predictor)
    past = past_in(data, 7010, 7002, 9999, 7021, 7004)  # out of order; nobody knows 9999
    item_ids, added = predictor.contributions(past, newcomers)
    all_ids, everything = predictor.user_scores(STRANGER, past, newcomers)
    assert np.array_equal(item_ids, all_ids)
    assert added.shape == (5, 32)
    assert added.dtype == np.float32
    for row, item_id in enumerate(past.item_ids.tolist()):
        _, less = predictor.user_scores(STRANGER, past.without(item_id), newcomers)
        np.testing.assert_allclose(added[row], everything - less, atol=1e-6)
    assert not added[2].any()
    assert all(added[row].any() for row in (0, 1, 3, 4))


def test_a_few_at_a_time_the_reasons_are_the_same(
    informed: tuple[Predictor, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor, data = informed
    past = past_in(data, 7010, 7002, 7021, 7004)
    _, at_once = predictor.contributions(past)
    monkeypatch.setattr(module, "AT_ONCE", 1)
    np.testing.assert_allclose(predictor.contributions(past)[1], at_once, atol=1e-6)


def test_a_past_of_one_thing_or_of_none_has_its_reasons_too(
    informed: tuple[Predictor, Dataset],
) -> None:
    predictor, data = informed
    one = past_in(data, 7010)
    _, with_it = predictor.user_scores(STRANGER, one)
    _, without_it = predictor.user_scores(STRANGER, one.without(7010))
    np.testing.assert_allclose(predictor.contributions(one)[1], [with_it - without_it], atol=1e-6)
    assert predictor.contributions(NOBODYS)[1].shape == (0, 30)
    unknown = past_in(data, 9998, 9999)
    assert not predictor.contributions(unknown)[1].any()


def test_a_network_does_not_say_why(board: Dataset, small_model: Ncf, tmp_path: Path) -> None:
    predictor = Predictor.load(save(tmp_path, "v1", small_model, board, {}).path)
    assert not predictor.explains
    with pytest.raises(TypeError, match="neumf"):
        predictor.contributions(past_of(board, 1004))


def test_a_past_without_one_thing_keeps_all_else(informed: tuple[Predictor, Dataset]) -> None:
    past = past_in(informed[1], 7010, 7002, 7021)
    less = past.without(7002)
    assert less.item_ids.tolist() == [7010, 7021]
    assert less.weights.tolist() == [1, 5]
    assert less.timestamps.tolist() == past.timestamps[[0, 2]].tolist()
    assert less.traits == past.traits
    assert len(past) == 3
    assert len(past.without(1)) == 3


def test_what_the_model_never_met_of_a_past_is_ignored(
    informed: tuple[Predictor, Dataset],
) -> None:
    predictor, data = informed
    past = past_in(data, 9999, 7002, 9998, 7021)
    known = past.without(9999).without(9998)
    for one, other in zip(
        predictor.user_scores(STRANGER, past), predictor.user_scores(STRANGER, known), strict=True
    ):
        assert np.array_equal(one, other)


def test_who_did_something_that_is_known_can_be_scored(
    informed: tuple[Predictor, Dataset],
) -> None:
    predictor, data = informed
    assert predictor.can_score(STRANGER, past_in(data, 9999, 7002))
    assert not predictor.can_score(STRANGER, past_in(data, 9999))
    assert not predictor.can_score(1000, NOBODYS)  # all that is known of them is what they did


def test_a_new_epreuve_is_placed_among_its_like(informed: tuple[Predictor, Dataset]) -> None:
    predictor, data = informed
    newcomers = new_ones(predictor)
    assert newcomers.item_ids.tolist() == [8001, 8000]
    for past, better in (
        (past_in(data, 7010, 7002, 7004), 8000),
        (past_in(data, 7011, 7003, 7005, traits=L2), 8001),
    ):
        item_ids, probabilities = predictor.user_scores(STRANGER, past, newcomers)
        assert item_ids.tolist() == [*range(7000, 7030), 8001, 8000]
        assert np.array_equal(probabilities[:30], predictor.user_scores(STRANGER, past)[1])
        of = dict(zip(item_ids.tolist(), probabilities, strict=True))
        assert of[better] == max(of[8000], of[8001]) > min(of[8000], of[8001])


def test_where_all_are_known_or_nothing_is_known_of_any_nobody_is_new(
    informed: tuple[Predictor, Dataset], predictor: Predictor
) -> None:
    assert len(informed[0].newcomers([7000], ["anneaux"], [ALGEBRE]).item_ids) == 0
    nothing = predictor.newcomers([8000], ["anneaux"], [ALGEBRE])  # a model without any trait
    assert len(nothing.item_ids) == 0


def test_what_is_worth_more_or_is_fresher_counts_more(
    informed: tuple[Predictor, Dataset],
) -> None:
    """As in training: the same confidences, of the same half-life."""
    predictor, data = informed
    past = past_of(data, 1004)
    order = np.argsort(past.item_ids)
    _, found = predictor.user_scores(1004, replace(past, traits=L1))
    sorted_past = Past(past.item_ids[order], past.weights[order], past.timestamps[order], L1)
    items, weights = predictor._history(sorted_past)
    assert np.array_equal(items, data.history(4)[0])
    np.testing.assert_allclose(weights, data.history(4)[1], rtol=1e-6)
    np.testing.assert_allclose(predictor.user_scores(1004, sorted_past)[1], found, atol=1e-5)
