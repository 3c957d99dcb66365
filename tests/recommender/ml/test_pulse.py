"""A live training never looks dead: its long stages give signs of life."""

from dataclasses import replace

import numpy as np
import pytest

from apps.recommender.ml import pulse
from apps.recommender.ml.recency import forgetting
from apps.recommender.ml.registry import evaluate_baselines, of_architecture


class Stopped(Exception):
    pass


def beats(work) -> int:
    count = 0

    def listen():
        nonlocal count
        count += 1

    with pulse.felt(listen):
        work()
    pulse.beat()
    return count


def test_the_stages_without_an_epoch_give_many(board):
    assert beats(lambda: evaluate_baselines(board, seed=1)) > 20
    assert beats(lambda: forgetting(board)) > 5


def test_the_first_stage_of_the_default_model_can_be_stopped(board, quick):
    epochs = []

    def stop():
        raise Stopped

    model = of_architecture(replace(quick, architecture="hybrid"))
    with pytest.raises(Stopped), pulse.felt(stop):
        model.fit(board, np.random.default_rng(1), epochs.append)
    assert epochs == []
    assert beats(lambda: model.fit(board, np.random.default_rng(1), epochs.append)) > 100
