import json

import numpy as np
import pytest
import torch

from apps.recommender.ml.architectures import ARCHITECTURES
from apps.recommender.ml.config import ModelConfig, TrainingConfig
from apps.recommender.ml.ncf_model import BRANCHES, NCF
from benchmarks import training


@pytest.fixture(autouse=True)
def _moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "TURN", 1e-3)
    monkeypatch.setattr(training, "ML_100K", (20, 30, 100))
    monkeypatch.setattr(training, "BATCHES", (64, 4096))


def test_it_ends_with_one_line_of_json_and_shows_a_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    training.main(["--seconds=0.001"])
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    result = json.loads(line)
    assert list(result["batches"]) == ["64", "4096"]
    assert result["samples_per_s"] == result["batches"]["4096"]["samples_per_s"] > 0
    assert result["ratio"] == pytest.approx(result["samples_per_s"] / result["roofline"], abs=0.001)
    assert "plafond" in err


def test_a_row_is_a_positive_then_its_negatives() -> None:
    log = training.random_log(20, 30, 100)
    positives = set(zip(log.train.user_idx.tolist(), log.train.item_idx.tolist(), strict=True))
    rows = training.Rows(log, 4)
    assert len(rows) == 5 * len(log.train)
    drawn = [rows[place] for place in range(len(rows))]
    assert all((label == 1) == ((user, item) in positives) for user, item, label in drawn)
    assert sum(label for *_, label in drawn) == len(log.train)


def test_the_random_log_holds_no_pair_twice() -> None:
    log = training.random_log(20, 30, 500)
    cells = log.train.user_idx * 30 + log.train.item_idx
    assert len(np.unique(cells)) == len(cells) <= 500


def test_the_reference_of_nvidia_has_its_layers() -> None:
    log, config = training.nvidia("cpu", (20, 30, 100), 64)
    try:
        model = NCF(ModelConfig(config.architecture, log.n_users, log.n_items, 64))
        assert model.head.in_features == 64 + 64
        assert model(torch.arange(20), torch.arange(20)).shape == (20,)
        speeds = training.measure(log, TrainingConfig("nvidia", batch_size=64), 1e-3)
        assert speeds.loop > 0
    finally:
        del ARCHITECTURES["nvidia"], BRANCHES["nvidia-mlp"]
