"""A training stopped at any epoch, begun again, ends with the bits of one that never stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apps.recommender.ml.checkpoints import NONE, Checkpoints, OnDisk, Point
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, Interactions, whole
from apps.recommender.ml.model import Servable
from apps.recommender.ml.registry import of_architecture

QUICK = TrainingConfig(epochs=6, batch_size=64, embedding_dim=8, learning_rate=0.01)
KINDS = {
    "neumf": replace(QUICK, architecture="neumf"),
    "pretraining": replace(QUICK, architecture="neumf", pretraining=True),
    "hybrid": QUICK,
}


class Killed(Exception):
    pass


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OnDisk]:
    """The checkpoints of a new process, after each epoch; their faults go to `.faults`."""

    def kept(identity: str = "une", every: float = 0) -> OnDisk:
        monkeypatch.setattr(OnDisk, "EVERY_SECONDS", every)
        faults: list[str] = []
        found = OnDisk(tmp_path, {"donnees": identity}, on_fault=faults.append)
        found.faults = faults  # type: ignore[attr-defined]
        return found

    return kept


def learnt(
    config: TrainingConfig, parts: tuple[Dataset, Dataset], checkpoints: Checkpoints, **watch: Any
) -> Servable:
    """As `services.training` does: measured on a split, then again on everything."""
    model = of_architecture(config)
    for name, data in zip(("apprentissage", "final"), parts, strict=True):
        rng = np.random.default_rng(config.seed)
        model.fit(data, rng, checkpoints=checkpoints.named(name), **watch)
    return model


def bits(model: Servable) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.tensors()[0].items()}


def without_time(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in e.items() if key != "secondes"} for e in history]


class KillAt:
    """At the nth epoch, or later in the final fit, at the nth step of all."""

    def __init__(self, **at: int) -> None:
        self.at, self.steps, self.epochs = at, 0, 0

    def on_epoch(self, entry: dict[str, Any]) -> None:
        self.epochs += 1
        if self.epochs == self.at.get("epoch"):
            raise Killed

    def on_step(self, done: int, total: int) -> None:
        self.steps += 1
        if self.steps == self.at.get("step"):
            raise Killed

    @property
    def watch(self) -> dict[str, Any]:
        return {"on_epoch": self.on_epoch, "on_step": self.on_step}


@pytest.fixture(scope="module")
def parts(board: Dataset, checkerboard: Interactions) -> tuple[Dataset, Dataset]:
    return board, whole(checkerboard)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_killed_at_any_epoch_ends_with_the_same_bits(kind, parts, kept):
    config, counter = KINDS[kind], KillAt()
    unbroken = learnt(config, parts, NONE, **counter.watch)
    resumed, runs = None, 0
    while resumed is None:
        runs += 1
        # The second epoch that each process does: every process adds one.
        try:
            resumed = learnt(config, parts, kept(), **KillAt(epoch=2).watch)
        except Killed:
            continue
    assert runs == counter.epochs > 3
    assert bits(resumed) == bits(unbroken)
    assert without_time(resumed.history) == without_time(unbroken.history)
    assert resumed.best_epoch == unbroken.best_epoch


@pytest.mark.parametrize("kind", ["neumf", "pretraining"])
def test_a_training_killed_in_its_final_part_does_not_learn_its_first_again(kind, parts, kept):
    config, counter = KINDS[kind], KillAt()
    unbroken = learnt(config, parts, NONE, **counter.watch)
    with pytest.raises(Killed):
        learnt(config, parts, kept(), **KillAt(step=counter.steps - 1).watch)
    again = KillAt()
    assert bits(learnt(config, parts, kept(), **again.watch)) == bits(unbroken)
    assert again.epochs == 0
    assert 0 < again.steps < counter.steps / 4


def test_a_quick_epoch_is_not_written(parts, kept, tmp_path):
    learnt(QUICK, parts, kept(every=1000))
    assert list(tmp_path.iterdir()) == []


POINT = Point({"a": torch.arange(6.0).reshape(2, 3), "b.c": torch.tensor(1.5)}, {"epoch": 3})


def test_a_point_comes_back_as_it_was_kept(kept):
    kept().named("x").named("y").save(lambda: POINT)
    found = kept().named("x").named("y").load()
    assert found.values == POINT.values
    assert torch.equal(found.tensors["a"], POINT.tensors["a"])
    assert found.under("b")["c"] == 1.5
    assert kept().named("x").load() is None


def flip(raw: bytes) -> bytes:
    return raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:]


@pytest.mark.parametrize(
    "damage", [flip, lambda raw: raw[:-1], lambda raw: b"", lambda raw: raw[70:]]
)
def test_a_damaged_point_is_refused_in_words_and_the_training_begins_again(kept, tmp_path, damage):
    kept().named("x").save(lambda: POINT)
    (path,) = tmp_path.glob("*.point")
    path.write_bytes(damage(path.read_bytes()))
    checkpoints = kept()
    named = checkpoints.named("x")
    assert named.load() is None
    assert checkpoints.faults[0].startswith("point de reprise x refusé, tout est refait")


def test_a_point_of_other_data_is_refused(kept):
    kept().named("x").save(lambda: POINT)
    checkpoints = kept("autre")
    assert checkpoints.named("x").load() is None
    assert "autres données" in checkpoints.faults[0]


def test_a_folder_that_is_gone_costs_the_point_not_the_training(kept, tmp_path):
    checkpoints = kept()
    tmp_path.rmdir()
    checkpoints.named("x").save(lambda: POINT)
    assert "non écrit" in checkpoints.faults[0]
    assert not tmp_path.exists()
    tmp_path.mkdir()
