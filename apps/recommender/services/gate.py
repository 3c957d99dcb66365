"""May this model serve? It must beat popularity, and not be worse than the one that serves."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.recommender.labels import decimal, signed
from apps.recommender.models import ModelMetadata
from apps.recommender.services import model_files
from apps.recommender.services.activation import active_model

if TYPE_CHECKING:
    from apps.recommender.ml.comparison import Difference, Measured
    from apps.recommender.ml.data_loader import Dataset
    from apps.recommender.ml.evaluation import Evaluation
    from apps.recommender.ml.model import Servable
    from apps.recommender.models import TrainingLog

logger = logging.getLogger(__name__)

# On fewer than that, chance decides between two models.
MIN_INTERACTIONS = 200


@dataclass(frozen=True)
class Comparison:
    """The candidate beside the model that served then; without a difference, why there is none.

    same_test: both learnt from the same data, and neither from what they are compared on.
    """

    active: str
    difference: Difference | None = None
    reason: str = ""
    same_test: bool = False

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"version": self.active, "raison": self.reason}
        if self.difference:
            told |= {
                "difference": self.difference.mean,
                "intervalle": [self.difference.low, self.difference.high],
                "etudiants": self.difference.n_students,
                "interactions": self.difference.n_interactions,
                "marge": settings.MODELE_MARGE_NDCG,
                "meme_test": self.same_test,
            }
        return told


@dataclass(frozen=True)
class Verdict:
    """refusal: why the model may not serve, empty when it may. comparison: None with no other.

    measured: what it was said from, for the next model to be compared with.
    """

    refusal: str
    comparison: Comparison | None
    measured: Measured

    @property
    def active(self) -> str:
        """The version that served when this was said, empty for none."""
        return self.comparison.active if self.comparison else ""


def judge(model: Servable, dataset: Dataset, run: TrainingLog, tested: Evaluation) -> Verdict:
    """`model` as `run` measured it: fitted on the training part of `dataset`."""
    from apps.recommender.ml.comparison import measured

    ours = measured(tested)
    comparison = _comparison(model, dataset, run, ours)
    refusals = _beside_popularity(run.metriques), _beside_active(comparison)
    return Verdict(" ".join(filter(None, refusals)), comparison, ours)


def _comparison(
    model: Servable, dataset: Dataset, run: TrainingLog, ours: Measured
) -> Comparison | None:
    active = active_model()
    if active is None:
        return None
    if active.training_log.empreinte_donnees == run.empreinte_donnees:
        return _on_the_same_test(active, ours)
    return _on_what_is_newer(model, dataset, active)


def _on_the_same_test(active: ModelMetadata, ours: Measured) -> Comparison:
    """As both were measured: what serves has learnt the test since, its measure had not."""
    import numpy as np

    from apps.recommender.ml.comparison import Difference

    theirs = np.array(active.ndcg_par_etudiant)
    if len(theirs) != len(ours.ndcg):
        return Comparison(active.version, reason="ses mesures par étudiant n'ont pas été gardées.")
    n = ours.n_interactions
    if n < MIN_INTERACTIONS:
        few = f"mêmes données, mais {n} interactions de test, {MIN_INTERACTIONS} au moins."
        return Comparison(active.version, reason=few)
    difference = Difference.between(ours.ndcg, theirs, n)
    return Comparison(active.version, difference, same_test=True)


def _on_what_is_newer(model: Servable, dataset: Dataset, active: ModelMetadata) -> Comparison:
    """On the test pairs that the active model's data do not have."""
    from apps.recommender.ml.comparison import compare, newer_than
    from apps.recommender.ml.errors import CorruptArtifact
    from apps.recommender.ml.predictor import Predictor

    known = dataset.train + dataset.validation
    if known.timestamps is None:
        raise ValueError("Un journal sans dates ne se compare pas.")
    moment = max(int(known.timestamps.max()), int(active.learnt_until.timestamp()))
    trial = newer_than(dataset, moment)
    n = len(trial.part("test"))
    if n < MIN_INTERACTIONS:
        few = f"{n} interactions plus récentes que ses données, {MIN_INTERACTIONS} au moins."
        return Comparison(active.version, reason=few)
    try:
        with model_files.reading(active) as path:
            serving = Predictor.load(path, sha256=active.sha256)
    except CorruptArtifact as error:
        logger.error("Pas de comparaison avec le modèle actif : %s", error)
        return Comparison(active.version, reason=str(error))
    candidate = Predictor.unsaved(model, dataset)
    return Comparison(active.version, compare(candidate, serving, trial))


def _beside_popularity(metrics: dict[str, Any]) -> str:
    low, high = metrics["intervalle_gain_ndcg_at_10"]
    if low > 0:
        return ""
    return (
        "Rien n'établit qu'il fait mieux que la popularité : gain de NDCG@10 de "
        f"{signed(low)} à {signed(high)} (intervalle à 95 %)."
    )


def _beside_active(comparison: Comparison | None) -> str:
    if comparison is None or comparison.difference is None:
        return ""
    difference, margin = comparison.difference, settings.MODELE_MARGE_NDCG
    where = (
        "interactions de test, les mêmes pour les deux"
        if comparison.same_test
        else "interactions plus récentes que les données de celui-ci"
    )
    if not difference.is_worse_by(margin):
        return ""
    return (
        f"Moins bon que le modèle actif {comparison.active} : NDCG@10 de "
        f"{signed(difference.low)} à {signed(difference.high)} (intervalle à 95 %) sur "
        f"{difference.n_interactions} {where} ; la marge est de "
        f"{decimal(margin, 2)} (MODELE_MARGE_NDCG)."
    )
