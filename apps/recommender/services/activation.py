"""Which model serves, and the journal of it."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from apps.core.models import User
from apps.recommender.models import ActivationModele, ModelMetadata
from apps.recommender.services import model_files


class ModelRefused(Exception):
    """Training judged that this model may not serve."""


def activate(
    model: ModelMetadata, *, declencheur: str, par: User | None = None, motif: str = ""
) -> ActivationModele | None:
    """Let this model serve, once its files are proven; None when it was serving already.

    Raises ModelRefused, CorruptArtifact and StorageAway, which leave the active one as it is.
    """
    from apps.recommender.ml import artifact

    if not model.eligible:
        raise ModelRefused(f"Le modèle {model} ne peut pas servir : {model.motif_refus}")
    with model_files.reading(model) as path:
        artifact.load(path, sha256=model.sha256)
    return _switch(model, declencheur, par, motif)


@transaction.atomic
def _switch(
    model: ModelMetadata, declencheur: str, par: User | None, motif: str
) -> ActivationModele | None:
    # A row that stays is the lock: the active one may have changed once we get it.
    ModelMetadata.objects.select_for_update().earliest("pk")
    previous = ModelMetadata.objects.filter(est_actif=True).first()
    if previous == model:
        return None
    ModelMetadata.objects.filter(est_actif=True).update(est_actif=False)
    model.est_actif, model.active_le, model.active_par = True, timezone.now(), par
    model.save(update_fields=["est_actif", "active_le", "active_par"])
    return ActivationModele.objects.create(
        modele=model,
        precedente=previous,
        active_le=model.active_le,
        active_par=par,
        declencheur=declencheur,
        motif=motif,
    )


def previous_model() -> ModelMetadata | None:
    """The one that served before the active one."""
    last = ActivationModele.objects.filter(modele__est_actif=True).first()
    return last.precedente if last else None
