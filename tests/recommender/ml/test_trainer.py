import json
import math
from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np
import pytest
import torch

from apps.recommender.ml import trainer
from apps.recommender.ml.architectures import ARCHITECTURES
from apps.recommender.ml.baselines import Popularity
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, Interactions, split_by_date, whole
from apps.recommender.ml.errors import DeviceUnavailable, TrainingDiverged
from apps.recommender.ml.evaluation import (
    evaluate,
    evaluate_model,
    paired_bootstrap,
    student_scores,
)
from apps.recommender.ml.ncf_model import NCF, NCFScorer
from apps.recommender.ml.registry import build
from apps.recommender.ml.synthetic import generate
from apps.recommender.ml.trainer import FitResult, fit, refit


def same_weights(first: NCF, second: NCF) -> bool:
    weights = second.state_dict()
    return all(torch.equal(value, weights[name]) for name, value in first.state_dict().items())


def ndcg(model: NCF, dataset: Dataset) -> float:
    scores = student_scores(NCFScorer(model), dataset)
    return evaluate(scores, dataset, part="validation").metrics["ndcg_at_10"]


def test_the_defaults_beat_popularity_on_the_demonstration_bank() -> None:
    events = generate(seed=42).events
    pairs = events.user_idx * 1000 + events.item_idx
    pairs, first = np.unique(pairs, return_index=True)  # the events are in order of time
    users, items = np.divmod(pairs, 1000)
    log = Interactions(users, items, np.ones(len(pairs), np.float32), events.timestamps[first])
    dataset = split_by_date(log)
    config = TrainingConfig()
    popularity, model = Popularity(), build(config.architecture, config)
    for one in (popularity, model):
        one.fit(dataset, np.random.default_rng(42))
    popular, ours = evaluate_model(popularity, dataset), evaluate_model(model, dataset)
    low, _ = paired_bootstrap(ours.ndcg_by_user, popular.ndcg_by_user)
    assert ours.metrics["ndcg_at_10"] > 2 * popular.metrics["ndcg_at_10"]
    assert low > 0.05


def test_the_global_random_state_is_neither_read_nor_needed(
    board: Dataset, quick: TrainingConfig
) -> None:
    config = replace(quick, epochs=2)
    torch.manual_seed(1)
    first = fit(board, config)
    torch.manual_seed(2)
    assert same_weights(first.model, fit(board, config).model)


def test_the_model_returned_is_that_of_the_best_epoch(fitted: FitResult, board: Dataset) -> None:
    by_epoch = [entry["ndcg_validation"] for entry in fitted.history]
    assert fitted.best_epoch < len(by_epoch), "nothing to restore: the last epoch was the best"
    assert by_epoch[fitted.best_epoch - 1] == max(by_epoch) == ndcg(fitted.model, board)


def test_training_stops_when_validation_no_longer_rises(
    board: Dataset, quick: TrainingConfig
) -> None:
    batches = math.ceil(len(board.train) * 5 / quick.batch_size)
    result = fit(board, replace(quick, epochs=1000))
    waited = len(result.history) - result.best_epoch
    assert waited == math.ceil(trainer.PATIENCE / batches) > trainer.MIN_PATIENCE


def test_patience_lasts_a_few_epochs_however_long_they_are(
    board: Dataset, quick: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "PATIENCE", 1)
    result = fit(board, replace(quick, epochs=1000))
    assert len(result.history) - result.best_epoch == trainer.MIN_PATIENCE


def test_the_learning_rate_is_halved_on_a_plateau_of_validation(fitted: FitResult) -> None:
    rates = [entry["learning_rate"] for entry in fitted.history]
    assert rates[0] == 0.003
    assert rates[-1] < 0.003
    assert {later / earlier for earlier, later in pairwise(rates)} == {0.5, 1}


def test_refitting_on_the_same_part_ends_at_the_same_weights(
    fitted: FitResult, board: Dataset, quick: TrainingConfig
) -> None:
    assert fitted.plan == fitted.history[: fitted.best_epoch]
    again = refit(board, quick, fitted.plan)
    assert same_weights(again, fitted.model)


def test_refitting_on_everything_learns_the_held_out_pairs(
    fitted: FitResult, checkerboard: Interactions, board: Dataset, quick: TrainingConfig
) -> None:
    final = refit(whole(checkerboard), quick, fitted.plan)
    users, items = torch.from_numpy(board.test.user_idx), torch.from_numpy(board.test.item_idx)
    with torch.inference_mode():
        assert final(users, items).mean() > fitted.model(users, items).mean()


def test_each_epoch_is_told_once_in_plain_values(board: Dataset, quick: TrainingConfig) -> None:
    told: list[dict[str, object]] = []
    result = fit(board, replace(quick, epochs=3), on_epoch=told.append)
    assert told == result.history == json.loads(json.dumps(told, allow_nan=False))
    assert [entry["epoch"] for entry in told] == [1, 2, 3]
    assert set(told[0]) == {
        "epoch",
        "phase",
        "loss_entrainement",
        "loss_validation",
        "ndcg_validation",
        "learning_rate",
        "secondes",
    }


def test_each_batch_is_told_with_the_number_of_all(board: Dataset, quick: TrainingConfig) -> None:
    steps: list[tuple[int, int]] = []
    config = replace(quick, epochs=2, batch_size=500)
    fit(board, config, on_step=lambda done, total: steps.append((done, total)))
    # 360 positives and 4 negatives each are 1800 rows: 4 batches an epoch.
    assert steps == [(done, 8) for done in range(1, 9)]
    steps.clear()
    refit(
        board,
        config,
        [{"phase": "neumf", "learning_rate": 0.01}],
        on_step=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(done, 4) for done in range(1, 5)]


@pytest.fixture(scope="module")
def pretrained(board: Dataset, quick: TrainingConfig) -> FitResult:
    """GMF, then MLP, then both as NeuMF."""
    return fit(board, replace(quick, epochs=120, pretraining=True))


def test_the_parts_of_neumf_are_trained_first_in_phases_of_their_own(pretrained: FitResult) -> None:
    assert [name for name, _ in groupby(e["phase"] for e in pretrained.history)] == [
        "gmf",
        "mlp",
        "neumf",
    ]
    epochs = [entry["epoch"] for entry in pretrained.history]
    assert epochs == list(range(1, len(epochs) + 1))
    assert pretrained.history[pretrained.best_epoch - 1]["phase"] == "neumf"


def test_pretraining_ends_with_one_architecture_whatever_it_began_with(
    pretrained: FitResult, board: Dataset
) -> None:
    assert pretrained.model.config.architecture == "neumf"
    best = pretrained.history[pretrained.best_epoch - 1]["ndcg_validation"]
    assert ndcg(pretrained.model, board) == best


def test_refitting_replays_every_phase_up_to_its_best(
    pretrained: FitResult, board: Dataset, quick: TrainingConfig
) -> None:
    config = replace(quick, epochs=120, pretraining=True)
    assert len(pretrained.plan) < len(pretrained.history), "no phase went past its best"
    assert same_weights(refit(board, config, pretrained.plan), pretrained.model)


def test_the_fusion_goes_on_more_slowly_than_its_parts(
    pretrained: FitResult, quick: TrainingConfig
) -> None:
    first = {entry["phase"]: entry["learning_rate"] for entry in reversed(pretrained.history)}
    assert first["gmf"] == first["mlp"] == quick.learning_rate > first["neumf"]


@pytest.mark.parametrize("epochs", [1, 2, 3, 7])
def test_the_phases_together_keep_to_the_epochs_asked_for(
    board: Dataset, quick: TrainingConfig, epochs: int
) -> None:
    config = replace(quick, epochs=epochs, pretraining=True)
    steps: list[tuple[int, int]] = []
    result = fit(board, config, on_step=lambda done, total: steps.append((done, total)))
    assert len(result.history) == len(trainer.whole_plan(config)) == epochs
    assert steps[-1][0] == steps[-1][1]
    assert result.history[-1]["phase"] == "neumf"


def test_a_larger_batch_decays_more_but_never_more_than_half_of_a_weight() -> None:
    def decay(batch_size: int, learning_rate: float = 0.001) -> float:
        return trainer.weight_decay(
            TrainingConfig(batch_size=batch_size, learning_rate=learning_rate)
        )

    assert decay(256) == trainer.WEIGHT_DECAY
    assert decay(4096) == 4 * trainer.WEIGHT_DECAY
    assert decay(2**24, learning_rate=1) == 0.5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("batch_size", "dim", "rate"),
    [(16, 8, 0.1), (65_536, 256, 0.1), (16, 256, 0.1), (65_536, 8, 1e-5), (16, 8, 1)],
)
def test_no_option_makes_training_fail(
    board: Dataset, architecture: str, batch_size: int, dim: int, rate: float
) -> None:
    config = TrainingConfig(
        architecture=architecture,
        epochs=4,
        batch_size=batch_size,
        embedding_dim=dim,
        learning_rate=rate,
        pretraining=architecture == "neumf",
    )
    assert 0 <= ndcg(fit(board, config).model, board) <= 1


def test_training_on_costs_nothing(board: Dataset, quick: TrainingConfig) -> None:
    enough, four_times = (fit(board, replace(quick, epochs=n)) for n in (30, 120))
    assert ndcg(four_times.model, board) >= ndcg(enough.model, board)


def test_what_a_callback_raises_ends_the_training(board: Dataset, quick: TrainingConfig) -> None:
    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(board, quick, on_step=cancel)


def test_a_loss_that_is_no_number_ends_in_a_clear_sentence(
    board: Dataset, quick: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "weight_decay", lambda config: 1e30)
    with pytest.raises(TrainingDiverged, match="--learning-rate"):
        fit(board, quick)


def test_cuda_without_cuda_is_one_clear_sentence_before_any_work(
    board: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    steps: list[int] = []
    with pytest.raises(DeviceUnavailable, match="l'appareil cpu"):
        fit(
            board,
            TrainingConfig("neumf", device="cuda"),
            on_step=lambda done, total: steps.append(done),
        )
    assert steps == []


def test_a_student_who_likes_everything_does_not_stop_the_training(quick: TrainingConfig) -> None:
    n = 12
    dataset = whole(
        Interactions(
            user_ids=torch.arange(2).repeat_interleave(n).numpy(),
            item_ids=torch.arange(n).repeat(2).numpy(),
            weights=torch.ones(2 * n).numpy(),
            timestamps=torch.arange(2 * n).numpy(),
        )
    )
    model = refit(dataset, quick, [{"phase": "neumf", "learning_rate": 0.01}] * 20)
    with torch.inference_mode():
        assert model.score_all(torch.tensor([0, 1])).min() > 0
