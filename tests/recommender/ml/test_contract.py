"""What holds for every model of the registry, baselines included."""

from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from apps.recommender.ml import artifact
from apps.recommender.ml.architectures import ARCHITECTURES, HYBRID
from apps.recommender.ml.baselines import BASELINES
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import (
    Dataset,
    FloatArray,
    IntArray,
    Interactions,
    Pairs,
    whole,
)
from apps.recommender.ml.errors import UnknownModel, UnknownUser
from apps.recommender.ml.evaluation import student_scores
from apps.recommender.ml.hybrid import Hybrid
from apps.recommender.ml.model import NO_ITEMS, NO_WEIGHTS, Model, Servable
from apps.recommender.ml.ncf import Ncf
from apps.recommender.ml.registry import MODELS, build, restore
from apps.recommender.ml.signals import Students

NAIVE = ("aleatoire", "popularite")
LEARNERS = tuple(name for name in MODELS if name not in NAIVE)
BY_HISTORY = ("knn", "ease", "ials", HYBRID)
SERVED = (*ARCHITECTURES, HYBRID)  # a baseline is fitted anew in seconds
EVERYONE = np.arange(30)

every_model = pytest.mark.parametrize("name", MODELS)
every_served = pytest.mark.parametrize("name", SERVED)
every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


def fitted(name: str, data: Dataset, config: TrainingConfig, seed: int = 42) -> Model:
    model = build(name, replace(config, seed=seed))
    model.fit(data, np.random.default_rng(seed))
    return model


@pytest.fixture(scope="module")
def models(board: Dataset, quick: TrainingConfig) -> dict[str, Model]:
    return {name: fitted(name, board, quick) for name in MODELS}


def histories(board: Dataset) -> Iterator[tuple[IntArray, FloatArray]]:
    """Nothing, one épreuve, a few of unequal worth, everything."""
    yield NO_ITEMS, NO_WEIGHTS
    yield np.array([4]), np.ones(1, np.float32)
    yield np.array([9, 2, 20]), np.array([1, 5, 0.5], np.float32)
    yield np.arange(board.n_items), np.ones(board.n_items, np.float32)


def share_in_order(model: Model, board: Dataset) -> float:
    """How many (held out, disliked) couples of a student are ranked that way round."""
    table = student_scores(model, board)(EVERYONE)
    disliked = (board.user_ids[:, None] + board.item_ids) % 2 == 1
    held_out = board.validation + board.test
    against = np.where(disliked, table, np.nan)[held_out.user_idx]
    wins = table[held_out.user_idx, held_out.item_idx][:, None] > against
    return float(wins.sum() / disliked[held_out.user_idx].sum())


@every_model
def test_one_student_gets_a_score_for_every_item(
    name: str, models: dict[str, Model], board: Dataset
) -> None:
    alone = models[name].scores(*board.history(7), 7)
    assert alone.shape == (board.n_items,)
    assert alone.dtype == np.float32
    batch = student_scores(models[name], board)
    assert np.array_equal(batch(np.array([7])), alone[None])
    assert np.array_equal(batch(EVERYONE)[7], alone)


@every_model
def test_a_history_of_any_length_is_scored(
    name: str, models: dict[str, Model], board: Dataset
) -> None:
    user_idx = None if models[name].by_history else 0
    for history in histories(board):
        scores = models[name].scores(*history, user_idx)
        assert scores.shape == (board.n_items,)
        assert np.isfinite(scores).all()


@every_architecture
def test_a_network_knows_no_student_without_a_row(name: str, models: dict[str, Model]) -> None:
    assert not models[name].by_history
    with pytest.raises(UnknownUser, match="train_model"):
        models[name].scores(NO_ITEMS, NO_WEIGHTS, None)


@pytest.mark.parametrize("name", BY_HISTORY)
def test_who_came_after_training_is_scored_as_one_who_did_the_same(
    name: str, models: dict[str, Model], board: Dataset
) -> None:
    history = board.history(7)
    newcomer = models[name].scores(*history, None)
    assert np.array_equal(newcomer, models[name].scores(*history, 7))


@pytest.mark.parametrize("name", BY_HISTORY)
def test_what_is_worth_more_counts_more(name: str, models: dict[str, Model]) -> None:
    items, even, odd = np.array([0, 1]), np.arange(2, 30, 2), np.arange(3, 30, 2)
    for weights, higher, lower in (([3, 1], even, odd), ([1, 3], odd, even)):
        scores = models[name].scores(items, np.array(weights, np.float32), None)
        assert scores[higher].mean() > scores[lower].mean()


@every_model
def test_no_argument_and_no_answer_is_shared(
    name: str, models: dict[str, Model], board: Dataset
) -> None:
    items, weights = board.history(7)
    kept = items.copy(), weights.copy()
    items.flags.writeable = weights.flags.writeable = False
    first = models[name].scores(items, weights, 7)
    answer = first.copy()
    first[:] = -1
    assert np.array_equal(models[name].scores(items, weights, 7), answer)
    assert np.array_equal(items, kept[0])
    assert np.array_equal(weights, kept[1])


@every_model
def test_fitting_leaves_the_data_as_they_were(
    name: str, board: Dataset, quick: TrainingConfig
) -> None:
    def content() -> list[bytes]:
        parts = (board.train, board.validation, board.test)
        columns = [column for part in parts for column in astuple(part)]
        return [array.tobytes() for array in (*columns, board.train_matrix.toarray())]

    before = content()
    fitted(name, board, replace(quick, epochs=1))
    assert content() == before


@every_model
def test_the_test_part_is_not_learnt_from(name: str, board: Dataset, quick: TrainingConfig) -> None:
    config = replace(quick, epochs=2)
    other_test = replace(board, test=board.train)
    first, other = (
        student_scores(fitted(name, data, config), board)(EVERYONE) for data in (board, other_test)
    )
    assert np.array_equal(first, other)


@every_model
def test_the_same_seed_gives_the_same_scores(
    name: str, board: Dataset, quick: TrainingConfig
) -> None:
    config = replace(quick, epochs=3)
    first, same, other = (
        student_scores(fitted(name, board, config, seed), board)(EVERYONE) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, same)
    assert np.array_equal(first, other) == (name in {"popularite", "knn", "ease"})


@pytest.mark.parametrize("name", LEARNERS)
def test_the_checkerboard_is_learnt(name: str, models: dict[str, Model], board: Dataset) -> None:
    assert share_in_order(models[name], board) > 0.95


@pytest.mark.parametrize("name", NAIVE)
def test_the_checkerboard_is_not_learnt_by_who_cannot(
    name: str, models: dict[str, Model], board: Dataset
) -> None:
    assert share_in_order(models[name], board) < 0.55


@pytest.mark.parametrize("name", LEARNERS)
def test_fitted_again_on_everything_it_knows_the_held_out_pairs(
    name: str, board: Dataset, checkerboard: Interactions, quick: TrainingConfig
) -> None:
    """What a split chose serves on the whole, where there is no validation to choose on."""
    config = replace(quick, epochs=15)
    model = fitted(name, board, config)
    chosen = [vars(model).get(name) for name in ("setting", "settings")]
    model.fit(whole(checkerboard), np.random.default_rng(42))
    assert [vars(model).get(name) for name in ("setting", "settings")] == chosen
    assert share_in_order(model, board) > 0.95


@every_model
def test_without_validation_the_defaults_are_taken(
    name: str, checkerboard: Interactions, quick: TrainingConfig
) -> None:
    model = fitted(name, whole(checkerboard), replace(quick, epochs=2))
    assert np.isfinite(model.scores(NO_ITEMS, NO_WEIGHTS, 0)).all()


@every_model
def test_an_item_that_nobody_took_in_training_has_a_finite_score(
    name: str, board: Dataset, quick: TrainingConfig
) -> None:
    kept = board.train.item_idx != 3
    train = Pairs(board.train.user_idx[kept], board.train.item_idx[kept])
    model = fitted(name, replace(board, train=train), replace(quick, epochs=1))
    assert np.isfinite(model.scores(np.array([3]), np.ones(1, np.float32), 0)).all()


@every_served
def test_saved_and_loaded_it_gives_the_same_bits(
    name: str, models: dict[str, Model], board: Dataset, tmp_path: Path
) -> None:
    model = models[name]
    loaded = artifact.load(artifact.save(tmp_path, "v1", model, board, {}).path)
    again = loaded.model
    assert (again.name, again.n_items) == (name, board.n_items)
    assert loaded.confidence == board.confidence
    for user_idx in EVERYONE.tolist():
        history = board.history(user_idx)
        assert np.array_equal(again.scores(*history, user_idx), model.scores(*history, user_idx))
    assert np.array_equal(again.profiles(), model.profiles())


@every_served
def test_a_model_saved_loaded_and_saved_again_is_the_same_file(
    name: str, models: dict[str, Model], board: Dataset, tmp_path: Path
) -> None:
    first = artifact.save(tmp_path / "a", "v1", models[name], board, {})
    again = artifact.save(tmp_path / "b", "v1", artifact.load(first.path).model, board, {})
    assert first.sha256 == again.sha256


@pytest.mark.parametrize("name", tuple(BASELINES))
def test_a_baseline_is_never_saved(name: str, models: dict[str, Model]) -> None:
    assert not isinstance(models[name], Servable)
    with pytest.raises(UnknownModel, match=name):
        restore(name, {}, {})


@every_served
def test_profiles_are_lengths_of_one_and_tell_the_two_kinds_apart(
    name: str, models: dict[str, Model]
) -> None:
    profiles = models[name].profiles()
    assert profiles.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(profiles, axis=1), 1, atol=1e-5)
    likeness = profiles @ profiles.T
    same = (EVERYONE[:, None] + EVERYONE) % 2 == 0
    assert likeness[same].min() > likeness[~same].max()


@every_architecture
def test_the_gradient_reaches_every_parameter(
    name: str, board: Dataset, quick: TrainingConfig
) -> None:
    model = fitted(name, board, replace(quick, epochs=1))
    assert isinstance(model, Ncf)
    users, items = torch.arange(30).repeat_interleave(30), torch.arange(30).repeat(30)
    model.network.zero_grad()
    model.network(users, items).square().sum().backward()
    for parameter_name, parameter in model.network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


def test_the_gradient_reaches_every_parameter_of_the_second_stage(
    board: Dataset, quick: TrainingConfig
) -> None:
    """Once the last layers, which begin at zero, have moved."""
    model = fitted(HYBRID, board, replace(quick, epochs=1))
    assert isinstance(model, Hybrid)
    network = model.network
    for last in (network.mlp[-1].weight, network.linear.weight):
        torch.nn.init.normal_(last, generator=torch.Generator().manual_seed(2))
    table = model.stage.table(Students.of(board, EVERYONE))
    product = torch.from_numpy(table.p[:, None] * model.stage.factors.q)
    columns = torch.from_numpy(np.moveaxis(table.columns, 0, -1).copy())
    network(product, columns, torch.from_numpy(table.base)).square().sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@every_served
def test_the_same_seed_gives_the_same_weights(
    name: str, board: Dataset, quick: TrainingConfig
) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        model = fitted(name, board, replace(quick, epochs=3), seed)
        assert isinstance(model, Ncf | Hybrid)
        return model.network.state_dict()

    first, same, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_an_unknown_name_is_refused_and_the_known_ones_named(quick: TrainingConfig) -> None:
    with pytest.raises(UnknownModel, match="ials, gmf"):
        build("transformer", quick)
