"""Two to four models side by side: what students took next, and who would be shown what."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

from django.utils import timezone

from apps.recommender import selectors
from apps.recommender.models import ModelMetadata
from apps.recommender.services import model_files
from apps.recommender.services.model_files import StorageAway
from apps.recommender.services.top_lists import TOP, top_lists

if TYPE_CHECKING:
    from apps.recommender.ml.comparison import Difference
    from apps.recommender.ml.data_loader import Dataset
    from apps.recommender.ml.predictor import Predictor

# So many students make the lists, and so many at most the difference: a few seconds.
STUDENTS, JUDGES = 100, 200
# Whose pasts are read for it.
READ = 1500
SEED = 42


@dataclass(frozen=True)
class Overlap:
    """common: how many students have so many épreuves in both of their lists, from 0 to TOP."""

    a: ModelMetadata
    b: ModelMetadata
    jaccard: float
    common: list[int]

    @property
    def n_students(self) -> int:
        return sum(self.common)


@dataclass(frozen=True)
class Gap:
    """`model` minus the one it is compared with; without a difference, why there is none."""

    model: ModelMetadata
    difference: Difference | None
    reason: str = ""


class Comparison:
    """Of these models, the first with each other one; what takes seconds is done when asked for."""

    def __init__(self, models: Sequence[ModelMetadata]) -> None:
        self.models = models
        self.unreadable: dict[ModelMetadata, str] = {}
        self.predictors: dict[ModelMetadata, Predictor] = {}
        for model in models:
            self._load(model)

    def _load(self, model: ModelMetadata) -> None:
        from apps.recommender.ml.errors import CorruptArtifact
        from apps.recommender.ml.predictor import Predictor

        if gone := model.fichiers_supprimes_le:
            day = f"{timezone.localdate(gone):%d/%m/%Y}"
            self.unreadable[model] = f"Les fichiers du modèle {model} ont été supprimés le {day}."
            return
        try:
            with model_files.reading(model) as path:
                self.predictors[model] = Predictor.load(path, sha256=model.sha256)
        except (CorruptArtifact, StorageAway) as error:
            self.unreadable[model] = str(error)

    @cached_property
    def newest(self) -> dt.datetime:
        """No model here learnt anything later."""
        return max(model.learnt_until for model in self.models)

    def gaps(self) -> list[Gap]:
        """In NDCG@10, on what students took after the data of all."""
        from apps.recommender.ml.comparison import compare
        from apps.recommender.ml.errors import TooFewInteractions

        base, *others = self.predictors or (None,)
        if base is None or not others:
            return []
        try:
            trial = self._trial()
            return [
                Gap(
                    model,
                    compare(self.predictors[model], self.predictors[base], trial, most=JUDGES),
                )
                for model in others
            ]
        except TooFewInteractions as few:
            return [Gap(model, None, str(few)) for model in others]

    def _trial(self) -> Dataset:
        import numpy as np

        from apps.recommender.ml import data_loader
        from apps.recommender.ml.comparison import newer_than

        users = selectors.users_since(self.newest, most=READ)
        rows = np.array([*selectors.training_pairs(only=users)], np.int64).reshape(-1, 4).T
        log = data_loader.Interactions(rows[0], rows[1], rows[2].astype(np.float32), rows[3])
        everything = data_loader.whole(log, selectors.metadata())
        return newer_than(everything, int(self.newest.timestamp()))

    def overlaps(self) -> list[Overlap]:
        """Of the lists of the same students, drawn by a seed, two models at a time."""
        students = selectors.students_drawn(STUDENTS, seed=SEED)
        lists = {model: top_lists(one, students) for model, one in self.predictors.items()}
        return [_overlap(a, b, lists[a], lists[b]) for a, b in combinations(lists, 2)]


def _overlap(
    a: ModelMetadata, b: ModelMetadata, of_a: dict[int, list[int]], of_b: dict[int, list[int]]
) -> Overlap:
    pairs = [(set(of_a[pk]), set(of_b[pk])) for pk in of_a.keys() & of_b.keys()]
    shares = [len(one & other) / len(one | other) for one, other in pairs if one | other]
    counted = Counter(len(one & other) for one, other in pairs)
    mean = sum(shares) / len(shares) if shares else 0.0
    return Overlap(a, b, mean, [counted[n] for n in range(TOP + 1)])
