"""Old models give their place on the disk back; their rows, and what they were worth, stay."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from django.conf import settings
from django.utils import timezone

from apps.recommender.models import ModelMetadata, StatutEntrainement, TrainingLog
from apps.recommender.services import model_files
from apps.recommender.services.activation import active_model, models_locked, previous_model

logger = logging.getLogger(__name__)

# A training registers what it wrote within seconds, or tries for minutes where the base is away.
ORPHAN_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Pruned:
    """Models whose files go; versions that no row knows: those that go, those still too young.

    failed: those of both whose files resisted.
    """

    models: list[ModelMetadata]
    orphans: list[str] = field(default_factory=list)
    young: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def prune(*, keep: int | None = None, unknown: bool = False, dry_run: bool = False) -> Pruned:
    """Remove the files of all but the active model, the previous one and the `keep` newest.

    unknown: and those of no model of this database, once old. Not without being asked: where two
    databases share a place, it has models of both. Raises StorageAway.
    """
    with models_locked():
        models = _superfluous(settings.MODELES_GARDES if keep is None else keep)
        if not dry_run:
            for model in models:
                model.fichiers_supprimes_le = timezone.now()
                model.save(update_fields=["fichiers_supprimes_le"])
        found = Pruned(models, *(_orphans() if unknown else ()))
        pruned = ModelMetadata.objects.exclude(fichiers_supprimes_le=None)
        gone = set(pruned.values_list("chemin", flat=True))
    # From here on nobody activates them: the disk may take its time, and another call end its work.
    if not dry_run:
        for version in [*(name for name in model_files.versions() if name in gone), *found.orphans]:
            _remove(version, found.failed)
    return found


def _superfluous(keep: int) -> list[ModelMetadata]:
    kept = {model.pk for model in (active_model(), previous_model()) if model}
    with_files = ModelMetadata.objects.filter(fichiers_supprimes_le=None)
    return [model for model in with_files[keep:] if model.pk not in kept]


def _orphans() -> tuple[list[str], list[str]]:
    """Versions of no model, nor of a training: those old enough to go, and the others."""
    unfinished = (StatutEntrainement.EN_COURS, StatutEntrainement.EN_ATTENTE)
    written = TrainingLog.objects.filter(statut__in=unfinished).values_list("version", flat=True)
    known = {*ModelMetadata.objects.values_list("chemin", flat=True), *written}
    unknown = [version for version in model_files.versions() if version not in known]
    before = time.time() - ORPHAN_SECONDS
    old = [version for version in unknown if model_files.written_at(version) < before]
    return old, [version for version in unknown if version not in old]


def _remove(version: str, failed: list[str]) -> None:
    """A disk that refuses costs its place, not the training that just ended."""
    try:
        model_files.remove(version)
    except (OSError, model_files.StorageAway) as error:
        logger.error("Les fichiers du modèle %s restent : %s", version, error)
        failed.append(version)
