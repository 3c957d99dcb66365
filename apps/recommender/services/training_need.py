"""Whether a new training would learn anything: what cron asks every night."""

import datetime as dt
from dataclasses import dataclass

from django.utils import timezone

from apps.recommender import selectors
from apps.recommender.models import StatutEntrainement, TrainingLog

# As many as it takes to compare the new model with the one that serves.
MIN_NEW_INTERACTIONS, MAX_AGE_DAYS = 200, 30


@dataclass(frozen=True)
class Need:
    is_there: bool
    reason: str


def training_need(*, min_new: int, max_age_days: int) -> Need:
    """Enough pairs that are new since the data of the last finished run, or one and old data."""
    done = TrainingLog.objects.filter(statut=StatutEntrainement.TERMINE)
    last = done.order_by("-debut").first()
    new = selectors.new_pairs(last.debut if last else None)
    if last is None:
        return _verdict(new >= min_new, f"jamais entraîné, {_counted(new, min_new)}")
    age = timezone.now() - last.debut
    since = f"{_counted(new, min_new)} depuis l'entraînement {last.pk}, il y a {age.days} j"
    is_old = age >= dt.timedelta(days=max_age_days)
    return _verdict(new >= min_new or (is_old and new > 0), f"{since} (au plus {max_age_days})")


def _counted(new: int, wanted: int) -> str:
    return f"paires nouvelles : {new} sur {wanted}"


def _verdict(is_there: bool, why: str) -> Need:
    return Need(is_there, f"Entraînement {'nécessaire' if is_there else 'inutile'} : {why}.")
