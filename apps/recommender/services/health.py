"""How the recommender is doing, and what to do about it, on one page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from django.utils import timezone

from apps.core.models import Epreuve, Interaction, Role
from apps.core.selectors import Queue, interactions_by_day, moderation_queue
from apps.core.services import waiting_imports
from apps.recommender import model_store, telemetry
from apps.recommender.labels import FALLBACKS, REMEDIES
from apps.recommender.model_store import Serving
from apps.recommender.models import ModelMetadata, StatutEntrainement, TrainingLog
from apps.recommender.services import training_requests
from apps.recommender.services.activation import active_model
from apps.recommender.telemetry import Served

DAYS_SHOWN, DAYS_SERVED, DAYS_ACTIVE = 30, 7, 30
# Beyond these, something is worth doing.
UNKNOWN_STUDENTS, UNKNOWN_EPREUVES, FELL_BACK = 0.25, 0.2, 0.3
OLD_AFTER_DAYS, SLOW_MS = 60, 300
# Fewer answers, or fewer students, say nothing.
ENOUGH_ANSWERS, ENOUGH_STUDENTS = 50, 10


@dataclass(frozen=True)
class Share:
    part: int
    whole: int

    @property
    def value(self) -> float:
        return self.part / self.whole if self.whole else 0.0

    @property
    def percent(self) -> int:
        return round(100 * self.value)

    def exceeds(self, limit: float, *, of: int = 1) -> bool:
        return self.whole >= of and self.value > limit


@dataclass(frozen=True)
class Health:
    """unknown_…: None without a model. served: None where Redis does not say."""

    serving: Serving
    model: ModelMetadata | None
    run: TrainingLog | None
    unknown_students: Share | None
    unknown_epreuves: Share | None
    served: Served | None
    queue: Queue
    imports: int
    by_day: dict[dt.date, int]

    @property
    def age_days(self) -> int | None:
        return (timezone.now() - self.model.date_creation).days if self.model else None

    @property
    def cached(self) -> Share | None:
        return Share(self.served.cached, self.served.requests) if self.served else None

    @property
    def fallbacks(self) -> Share | None:
        if self.served is None:
            return None
        return Share(self.served.by_reason.total(), self.served.requests)

    def warnings(self) -> Iterator[str]:
        """What is wrong, and what to do next."""
        if self.model is None:
            yield (
                "Aucun modèle ne sert : les recommandations viennent de la popularité. "
                "Lancez un entraînement."
            )
        elif self.serving.degraded:
            yield (
                f"Le modèle {self.model} ne peut être chargé : {self.serving.version or 'aucun'} "
                "répond à sa place. Activez-en un autre, ou ré-entraînez."
            )
        elif self.age_days is not None and self.age_days > OLD_AFTER_DAYS:
            yield f"Le modèle a {self.age_days} jours : ré-entraînez."
        if self.model and not self.model.eligible:
            yield (
                f"Le modèle {self.model}, refusé à l'entraînement, sert par dérogation "
                f"(« {self.model.derogation} ») : activez-en un autre, ou ré-entraînez."
            )
        students, epreuves = self.unknown_students, self.unknown_epreuves
        if students and students.exceeds(UNKNOWN_STUDENTS, of=ENOUGH_STUDENTS):
            yield (
                f"{students.percent} % des étudiants actifs sont inconnus du modèle : ré-entraînez."
            )
        if epreuves and epreuves.exceeds(UNKNOWN_EPREUVES):
            yield (
                f"{epreuves.percent} % des épreuves publiées sont inconnues du modèle : "
                "ré-entraînez."
            )
        if self.run and self.run.is_forgotten:
            todo = training_requests.what_to_do(self.run)
            yield f"L'entraînement demandé n'a pas commencé : {todo}"
        yield from self._about_answers()

    def _about_answers(self) -> Iterator[str]:
        if self.served is None:
            yield (
                "Redis ne répond pas : les chiffres des réponses manquent. Vérifiez qu'il tourne, "
                "et REDIS_URL."
            )
            return
        if self.served.requests < ENOUGH_ANSWERS:
            return
        if self.model and self.fallbacks and self.fallbacks.exceeds(FELL_BACK):
            reason, _ = self.served.by_reason.most_common(1)[0]
            yield (
                f"Le modèle ne remplit pas seul {self.fallbacks.percent} % des réponses. Première "
                f"raison, {FALLBACKS[reason]} : {REMEDIES.get(reason, 'rien à faire')}."
            )
        slow = self.served.milliseconds(0.95)
        if slow and slow > SLOW_MS:
            yield (
                f"Une réponse sur vingt prend plus de {slow:.0f} ms : regardez la charge de la "
                "machine et le cache."
            )


def health() -> Health:
    """In few queries, none of which reads more than a month of the log."""
    serving = model_store.active_model()
    active = active_model()
    going = (StatutEntrainement.EN_COURS, StatutEntrainement.EN_ATTENTE)
    runs = TrainingLog.objects.filter(statut__in=going)
    return Health(
        serving=serving,
        model=active,
        run=min(runs, key=lambda run: going.index(run.statut), default=None),
        unknown_students=_unknown_students(serving),
        unknown_epreuves=_unknown_epreuves(serving),
        served=telemetry.served(DAYS_SERVED),
        queue=moderation_queue(),
        imports=waiting_imports.number(),
        by_day=interactions_by_day(DAYS_SHOWN, today=timezone.localdate()),
    )


def _unknown_students(serving: Serving) -> Share | None:
    """Of those who did something this month, and want recommendations of their own."""
    if serving.predictor is None:
        return None
    since = timezone.now() - dt.timedelta(days=DAYS_ACTIVE)
    recent = Interaction.objects.filter(
        date__gte=since,
        user__role=Role.ETUDIANT,
        user__is_active=True,
        user__personnalisation=True,
    )
    active = list(recent.order_by().values_list("user_id", flat=True).distinct())
    return Share(sum(not serving.predictor.knows_user(pk) for pk in active), len(active))


def _unknown_epreuves(serving: Serving) -> Share | None:
    if serving.predictor is None:
        return None
    published = list(Epreuve.objects.published().order_by().values_list("pk", flat=True))
    return Share(sum(not serving.predictor.knows_item(pk) for pk in published), len(published))
