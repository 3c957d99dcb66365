import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from apps.recommender.ml import fusion
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, Interactions, whole
from apps.recommender.ml.errors import DeviceUnavailable, TrainingDiverged
from apps.recommender.ml.first_stage import FirstStage
from apps.recommender.ml.fusion import Fusion, Lists, Trained, train
from apps.recommender.ml.hybrid import Hybrid
from apps.recommender.ml.shortlists import Shortlists, out_of_fold
from apps.recommender.ml.signals import Settings, fit_all

CONFIG = TrainingConfig(epochs=6, batch_size=64, embedding_dim=8, learning_rate=0.01)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def lists(board: Dataset) -> Shortlists:
    settings = Settings(dim=8)
    stage = FirstStage(fit_all(board, settings))
    return out_of_fold(board, stage, settings, np.random.default_rng(2))


class Judge:
    """Gives the NDCG it was told, epoch after epoch, and keeps what it was shown."""

    def __init__(self, *ndcg: float) -> None:
        self._ndcg = ndcg
        self.shown: list[dict[str, torch.Tensor]] = []

    def __call__(self, network: Fusion) -> tuple[float, float]:
        self.shown.append(copy.deepcopy(network.state_dict()))
        return self._ndcg[len(self.shown) - 1], 0.5


def trained(
    lists: Shortlists,
    config: TrainingConfig = CONFIG,
    validate: Callable[[Fusion], tuple[float, float]] | None = None,
) -> Trained:
    return train(lists, config, rng=np.random.default_rng(1), validate=validate)


def same(network: Fusion, weights: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_it_begins_with_the_ranking_of_the_first_stage() -> None:
    inputs = torch.randn(3, 5, 4), torch.randn(3, 5, 2), torch.randn(3, 5)
    assert torch.equal(Fusion(4, 2).eval()(*inputs), inputs[2])


def test_by_hand_it_adds_a_linear_half_and_a_tower_over_standard_inputs() -> None:
    """Inputs [p ⊙ q ; signal] of two dimensions, means 1 and deviations 2."""
    network = Fusion(1, 1).eval()
    network.centre.fill_(1)
    network.spread.fill_(2)
    with torch.no_grad():
        network.linear.weight.copy_(torch.tensor([[10.0, 1.0]]))
        for place, weight in ((0, [[1.0, 0.0], [0.0, -1.0]]), (3, [[1.0, 1.0]]), (6, [[2.0]])):
            network.mlp[place].weight.copy_(torch.tensor(weight))
        network.mlp[6].bias.fill_(0.5)
    # x = [1, -2]: 10 - 2; tower: [1, 2] -> 3 -> 6 + 0.5
    logits = network(torch.tensor([[3.0]]), torch.tensor([[-3.0]]), torch.tensor([100.0]))
    assert logits.tolist() == [114.5]


def test_a_constant_input_counts_for_nothing() -> None:
    network = Fusion(1, 1).eval()
    network.scale_to(torch.tensor([[5.0, 1.0], [5.0, 3.0]]))
    torch.nn.init.ones_(network.linear.weight)
    one, other = (network(*torch.tensor([[[x]], [[2.0]]]), torch.zeros(1)) for x in (5.0, 9.0))
    torch.testing.assert_close(one, other)


def test_one_seed_gives_one_set_of_first_weights() -> None:
    first, other = Fusion(8, 3, seed=1), Fusion(8, 3, seed=2)
    assert same(Fusion(8, 3, seed=1), first.state_dict())
    assert not torch.equal(first.mlp[0].weight, other.mlp[0].weight)


def test_negatives_are_drawn_from_the_list_of_the_positive(lists: Shortlists) -> None:
    marked = replace(
        lists,
        items=lists.items,
        base=np.repeat(np.arange(len(lists.fold), dtype=np.float32)[:, None], 30, axis=1),
        positive_base=lists.of_list.astype(np.float32),
    )
    rows = np.arange(0, len(lists.item), 3)
    batch = Lists(marked, CPU).batch(rows, 50, np.random.default_rng(0))
    of_list = torch.from_numpy(lists.of_list[rows]).float()
    assert torch.equal(batch.base, of_list[:, None].expand(-1, 51))
    place = lists.of_list[rows[0]]
    q = lists.q[lists.fold[place]]
    np.testing.assert_allclose(batch.product[0, 0], lists.p[place] * q[lists.item[rows[0]]])
    possible = lists.p[place] * q[lists.items[place, : lists.n_valid[place]]]
    for drawn in batch.product[0, 1:].numpy():
        assert np.isclose(possible, drawn).all(axis=1).any()


def test_the_loss_is_a_softmax_weighted_by_confidence(lists: Shortlists) -> None:
    batch = Lists(lists, CPU).batch(np.arange(4), 3, np.random.default_rng(0))
    losses = torch.nn.functional.cross_entropy(
        batch.base, torch.zeros(4, dtype=torch.long), reduction="none"
    )
    expected = (losses * batch.weight).sum() / batch.weight.sum()
    torch.testing.assert_close(batch.loss(Fusion(8, lists.signals.shape[-1]).eval()), expected)


def test_the_weights_returned_are_those_of_the_best_epoch(lists: Shortlists) -> None:
    judge = Judge(0.1, 0.2, 0.5, 0.3, 0.5, 0.4, 0.4)
    found = trained(lists, validate=judge)
    assert found.best_epoch == 2
    assert same(found.network, judge.shown[2])
    assert not same(found.network, judge.shown[-1])
    assert not found.network.training


def test_the_first_stage_alone_can_be_the_best(lists: Shortlists) -> None:
    judge = Judge(0.5, *[0.1] * 9)
    found = trained(lists, replace(CONFIG, epochs=9), judge)
    assert found.best_epoch == 0
    assert same(found.network, judge.shown[0])
    assert not found.network.linear.weight.any()
    assert not found.network.mlp[-1].weight.any()


def test_training_stops_when_validation_no_longer_rises(lists: Shortlists) -> None:
    judge = Judge(0.1, 0.2, *[0.1] * 50)
    found = trained(lists, replace(CONFIG, epochs=50), judge)
    assert len(found.history) == 1 + 1 + fusion.PATIENCE
    assert found.best_epoch == 1


def test_what_is_validated_is_the_average_of_the_steps(
    lists: Shortlists, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = trained(lists).network
    monkeypatch.setattr(fusion, "AVERAGING", 0.0)
    last = trained(lists).network
    assert 0 < followed.linear.weight.norm() < last.linear.weight.norm()


def test_each_epoch_is_told_once_in_plain_values(lists: Shortlists) -> None:
    told: list[dict[str, object]] = []
    found = train(
        lists,
        replace(CONFIG, epochs=2),
        rng=np.random.default_rng(1),
        validate=Judge(0.1, 0.2, 0.3),
        on_epoch=told.append,
    )
    assert told == found.history == json.loads(json.dumps(told, allow_nan=False))
    assert [(e["epoch"], e["ndcg_validation"]) for e in told] == [(0, 0.1), (1, 0.2), (2, 0.3)]
    assert set(told[0]) == {
        "epoch",
        "loss_entrainement",
        "loss_validation",
        "ndcg_validation",
        "learning_rate",
        "secondes",
    }
    assert told[2]["loss_entrainement"] < told[0]["loss_entrainement"]


def test_each_batch_is_told_with_the_number_of_all(lists: Shortlists) -> None:
    steps: list[tuple[int, int]] = []
    train(
        lists,
        replace(CONFIG, epochs=2),
        rng=np.random.default_rng(1),
        on_step=lambda done, total: steps.append((done, total)),
    )
    batches = math.ceil(len(lists.item) / 64)
    assert steps == [(done, 2 * batches) for done in range(1, 2 * batches + 1)]


def test_what_a_callback_raises_ends_the_training(lists: Shortlists) -> None:
    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(lists, CONFIG, rng=np.random.default_rng(1), on_step=cancel)


def test_a_loss_that_is_no_number_ends_in_a_clear_sentence(
    lists: Shortlists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusion, "WEIGHT_DECAY", 1e30)
    with pytest.raises(TrainingDiverged, match="--learning-rate"):
        trained(lists)


def test_the_global_random_state_is_neither_read_nor_changed(lists: Shortlists) -> None:
    torch.manual_seed(1)
    first = trained(lists).network
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert same(trained(lists).network, first.state_dict())
    assert torch.equal(torch.get_rng_state(), before)


# --- Its options, through the model --------------------------------------------------------------


def second_stage(
    data: Dataset, **options: float | str
) -> tuple[dict[str, torch.Tensor], list[tuple[int, int]]]:
    """Its weights, and the batches told; without validation every epoch is run."""
    steps: list[tuple[int, int]] = []
    model = Hybrid(replace(CONFIG, **{"epochs": 2, **options}))
    model.fit(
        data,
        np.random.default_rng(5),
        on_step=lambda done, total: steps.append((done, total)),
    )
    return model.network.state_dict(), steps


@pytest.mark.parametrize(
    ("option", "first", "second"),
    [
        ("epochs", 2, 3),
        ("batch_size", 32, 128),
        ("embedding_dim", 4, 8),
        ("learning_rate", 0.001, 0.01),
        ("negative_samples", 1, 6),
        ("seed", 1, 2),
    ],
)
def test_an_option_changes_what_is_learnt(
    option: str, first: float, second: float, checkerboard: Interactions
) -> None:
    everything = whole(checkerboard)
    (one, steps), (again, _), (other, other_steps) = (
        second_stage(everything, **{option: value}) for value in (first, first, second)
    )
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["linear.weight"], other["linear.weight"])
    assert (steps == other_steps) == (option not in {"epochs", "batch_size"})
    shapes = [[tuple(value.shape) for value in weights.values()] for weights in (one, other)]
    assert (shapes[0] == shapes[1]) == (option != "embedding_dim")


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 1.0},
        {"learning_rate": 1e-6, "batch_size": 2**24},
        {"embedding_dim": 1, "batch_size": 1, "epochs": 1},
        {"embedding_dim": 64, "negative_samples": 200},
    ],
)
def test_no_option_makes_training_fail(board: Dataset, options: dict[str, float]) -> None:
    model = Hybrid(replace(CONFIG, **{"epochs": 3, **options}))
    model.fit(board, np.random.default_rng(5))
    assert np.isfinite(model.scores(*board.history(3), 3)).all()


def test_cuda_without_cuda_is_one_clear_sentence_before_any_work(
    board: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told: list[object] = []
    with pytest.raises(DeviceUnavailable, match="l'appareil cpu"):
        Hybrid(replace(CONFIG, device="cuda")).fit(
            board, np.random.default_rng(5), on_epoch=told.append
        )
    assert told == []
