"""What the status and statistics pages say."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from apps.core.cache import cache_answers
from apps.core.models import (
    Commentaire,
    Epreuve,
    Evaluation,
    Interaction,
    Role,
    StatutCommentaire,
    TypeInteraction,
    User,
)
from apps.recommender import model_store, telemetry
from apps.recommender.models import ModelMetadata, StatutEntrainement, TrainingLog
from apps.recommender.services import online_quality
from apps.recommender.services.activation import active_model
from apps.recommender.services.recommendations import REPLIS, SOURCES
from apps.recommender.telemetry import Served

READY, NO_MODEL, DEGRADED = "pret", "aucun_modele", "degrade"
# Beside the sources: answers without a recommendation.
NONE = "aucune"


def status() -> dict[str, Any]:
    """What this process serves; the figures are those of the model that really answers."""
    serving = model_store.active_model()
    row = ModelMetadata.objects.filter(version=serving.version).first() if serving.version else None
    runs = TrainingLog.objects.filter(statut=StatutEntrainement.EN_COURS)
    return {
        "statut": DEGRADED if serving.degraded else READY if serving.predictor else NO_MODEL,
        "version_modele": serving.version,
        "architecture": row.architecture if row else None,
        "appareil": "cpu",
        "nb_utilisateurs": row.nb_utilisateurs if row else 0,
        "nb_epreuves": row.nb_epreuves if row else 0,
        "entraine_le": row.date_creation if row else None,
        "metriques": _figures(row),
        "cache": {
            "type": "redis" if settings.REDIS_URL else "memoire",
            "disponible": cache_answers(),
            "duree_secondes": settings.RECOMMANDATIONS_CACHE_SECONDES,
        },
        "entrainement_en_cours": any(not run.is_dead for run in runs),
    }


def _figures(row: ModelMetadata | None) -> dict[str, float]:
    metrics = row.metriques if row else {}
    return {key: value for key, value in metrics.items() if isinstance(value, float)}


def statistics(*, days: int, with_models: bool) -> dict[str, Any]:
    """Totals of the bank; what was done and served is counted over the last `days` days."""
    published = Epreuve.objects.published().count()
    students = User.objects.filter(role=Role.ETUDIANT, is_active=True)
    pairs = (
        Interaction.objects.filter(user__in=students, epreuve__in=Epreuve.objects.published())
        .order_by()
        .values("user_id", "epreuve_id")
        .distinct()
        .count()
    )
    active = active_model()
    cells = students.count() * published
    answer: dict[str, Any] = {
        "jours": days,
        "totaux": {
            "etudiants": students.count(),
            "epreuves": published,
            "interactions": Interaction.objects.count(),
            "evaluations": Evaluation.objects.count(),
            "commentaires": Commentaire.objects.filter(statut=StatutCommentaire.VISIBLE).count(),
        },
        "interactions_par_type": _by_kind(timezone.now() - dt.timedelta(days=days)),
        "densite": round(pairs / cells, 6) if cells else 0.0,
        "couverture_catalogue": active.metriques.get("couverture") if active else None,
    }
    served = telemetry.served(days)
    answer |= _serving(served or Served()) | {"telemetrie_disponible": served is not None}
    clicks = online_quality.last_days(days)
    answer["clics"] = {name: clicks[name] for name in ("par_source", "par_rang")}
    if with_models:
        answer["clics"]["par_version"] = clicks["par_version"]
        rows = ModelMetadata.objects.all()[:20]
        answer["modeles"] = [_model(row, served or Served()) for row in rows]
    return answer


def _serving(served: Served) -> dict[str, Any]:
    return {
        "taux_cache": round(served.cached / served.requests, 4) if served.requests else None,
        "requetes_par_source": {source: served.by_source[source] for source in (*SOURCES, NONE)},
        "replis": {reason: served.by_reason[reason] for reason in REPLIS},
        "latence_ms": {"p50": served.milliseconds(0.5), "p95": served.milliseconds(0.95)},
    }


def _by_kind(since: dt.datetime) -> dict[str, int]:
    counted = dict(
        Interaction.objects.filter(date__gte=since)
        .order_by()
        .values_list("type_interaction")
        .annotate(nombre=Count("pk"))
    )
    return {kind: counted.get(kind, 0) for kind in TypeInteraction.values}


def _model(row: ModelMetadata, served: Served) -> dict[str, Any]:
    return {
        "requetes": served.by_version[row.version],
        "version": row.version,
        "architecture": row.architecture,
        "est_actif": row.est_actif,
        "eligible": row.eligible,
        "entraine_le": row.date_creation,
        "metriques": _figures(row),
    }
