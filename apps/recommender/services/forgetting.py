"""What models and trainings on disk still know of people, made to follow the accounts there are."""

from __future__ import annotations

import logging
from collections.abc import Container
from pathlib import Path
from typing import Any

from django.db.models import F

from apps.core.models import User
from apps.recommender.ml.errors import CorruptArtifact
from apps.recommender.models import (
    ActivationModele,
    ModelMetadata,
    ReponseServie,
    TrainingLog,
)
from apps.recommender.services import model_files, training_runs
from apps.recommender.services.activation import models_locked

logger = logging.getLogger(__name__)


def forget_erased(**kwargs: Any) -> list[str]:
    """Erase the rows of accounts that are no more from every model; what resisted.

    What a training read about them is removed whole: a run that stopped cannot be resumed then.

    Receives core's `account_erased`; whatever it leaves undone, the next call does: it compares,
    and keeps no list of who left.
    """
    failed = []
    with models_locked():
        known = set(User.objects.values_list("pk", flat=True))
        try:
            versions = model_files.versions()
        except model_files.StorageAway as error:
            logger.error("Des comptes effacés restent dans les modèles : %s", error)
            return ["le stockage des modèles"]
        for version in versions:
            try:
                users = model_files.forget_users(version, known)
            except (CorruptArtifact, OSError) as error:
                logger.error("Des comptes effacés restent dans le modèle %s : %s", version, error)
                failed.append(version)
                continue
            # After the file, and whatever it was: a process killed in between is made up for.
            stale = ModelMetadata.objects.filter(chemin=version).exclude(sha256_utilisateurs=users)
            stale.update(sha256_utilisateurs=users)
    forget_runs(known)
    return failed


def forget_runs(known: Container[int]) -> None:
    """Remove what trainings read about others than the `known`."""
    for folder in training_runs.folders():
        if not _is_about(folder, known):
            logger.warning("Un compte effacé était dans %s : supprimé.", folder.name)
            training_runs.remove(folder)


def _is_about(folder: Path, known: Container[int]) -> bool:
    """Only about these people; what cannot be read could be about anybody."""
    from pyarrow import ArrowException

    from apps.recommender.ml import snapshot

    try:
        return all(user_id in known for user_id in snapshot.user_ids(folder))
    except (OSError, ArrowException):
        return False


_ANSWERED = ("date", "genre", "version_modele", "epreuves", "sources", "clics")


def held_of(user: User, **kwargs: Any) -> dict[str, Any]:
    """Receives core's `export_asked`: what the recommender holds of this person."""
    runs = TrainingLog.objects.filter(lance_par=user).order_by("pk")
    stopped = TrainingLog.objects.filter(arret_demande_par=user).order_by("pk")
    models = ModelMetadata.objects.filter(active_par=user).order_by("pk")
    answers = ReponseServie.objects.filter(user=user).order_by("date")
    activations = ActivationModele.objects.filter(active_par=user).order_by("pk")
    return {
        "entrainements_arretes": list(
            stopped.values("id", "version", "statut", "arret_demande_le")
        ),
        "entrainements_lances": list(runs.values("id", "version", "statut", "debut", "fin")),
        "modeles_actives": list(models.values("version", "active_le")),
        "activations": list(activations.values("active_le", "motif", version=F("modele__version"))),
        "recommandations_recues": list(answers.values(*_ANSWERED, requete_id=F("id"))),
        **_models_about(user),
    }


def _models_about(user: User) -> dict[str, list[str]]:
    """Those that know this person, and those of which nobody can say."""
    known, unreadable = [], []
    for version in model_files.versions():
        try:
            if model_files.knows_user(version, user.pk):
                known.append(version)
        except (CorruptArtifact, OSError) as error:
            logger.error("Qui connaît le modèle %s ne se lit pas : %s", version, error)
            unreadable.append(version)
    about = {"modeles_qui_me_connaissent": known}
    return about | ({"modeles_illisibles": unreadable} if unreadable else {})
