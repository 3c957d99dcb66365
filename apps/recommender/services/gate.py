"""May this model serve? It must beat popularity, and not be worse than the one that serves."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.recommender.labels import signed
from apps.recommender.models import ModelMetadata
from apps.recommender.services import model_files

if TYPE_CHECKING:
    from apps.recommender.ml.comparison import Difference
    from apps.recommender.ml.data_loader import Dataset
    from apps.recommender.ml.model import Servable

logger = logging.getLogger(__name__)

# On fewer than that, chance decides between two models.
MIN_INTERACTIONS = 200


@dataclass(frozen=True)
class Comparison:
    """The candidate beside the model that served then; without a difference, why there is none."""

    active: str
    difference: Difference | None = None
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"version": self.active, "raison": self.reason}
        if self.difference:
            told |= {
                "difference": self.difference.mean,
                "intervalle": [self.difference.low, self.difference.high],
                "etudiants": self.difference.n_students,
                "interactions": self.difference.n_interactions,
                "marge": settings.MODELE_MARGE_NDCG,
            }
        return told


@dataclass(frozen=True)
class Verdict:
    """refusal: why the model may not serve, empty when it may. comparison: None with no other."""

    refusal: str
    comparison: Comparison | None

    @property
    def active(self) -> str:
        """The version that served when this was said, empty for none."""
        return self.comparison.active if self.comparison else ""


def judge(model: Servable, dataset: Dataset, metrics: dict[str, Any]) -> Verdict:
    """`model` as it was measured: fitted on the training part of `dataset`."""
    comparison = _comparison(model, dataset)
    refusals = _beside_popularity(metrics), _beside_active(comparison)
    return Verdict(" ".join(filter(None, refusals)), comparison)


def _comparison(model: Servable, dataset: Dataset) -> Comparison | None:
    """On the test pairs that the active model's data do not have."""
    from apps.recommender.ml.comparison import compare, newer_than
    from apps.recommender.ml.errors import CorruptArtifact
    from apps.recommender.ml.predictor import Predictor

    active = ModelMetadata.objects.filter(est_actif=True).select_related("training_log").first()
    if active is None:
        return None
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
    if not difference.is_worse_by(margin):
        return ""
    return (
        f"Moins bon que le modèle actif {comparison.active} : NDCG@10 de "
        f"{signed(difference.low)} à {signed(difference.high)} (intervalle à 95 %) sur "
        f"{difference.n_interactions} interactions plus récentes que les données de celui-ci ; "
        f"la marge est de {margin:g} (MODELE_MARGE_NDCG)."
    )
