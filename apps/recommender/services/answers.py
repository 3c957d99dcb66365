"""The log of what was shown to whom, and what they opened of it."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from typing import Any

from django.conf import settings
from django.db import Error, IntegrityError
from django.utils import timezone

from apps.core.models import Epreuve, User
from apps.recommender.models import ReponseServie

logger = logging.getLogger(__name__)

# What is opened later is no longer opened because it was shown.
CLICK_WINDOW = dt.timedelta(hours=24)
# Few enough rows that nobody waits for their deletion.
SLICE = 1000


def log_answer(entry: ReponseServie) -> None:
    """One insert, once the answer was sent: what the database says is no longer its business.

    Of people who declined personalisation nothing is kept.
    """
    if not entry.user.personnalisation:
        return
    try:
        entry.save(force_insert=True)
    except IntegrityError:
        return  # The account was erased meanwhile.
    except Error as error:
        # Not its text, which may tell whose row it was.
        logger.warning("Réponse servie mais non journalisée : %s", type(error).__name__)


def count_click(
    *, user: User, epreuve: Epreuve, requete_id: uuid.UUID, date: dt.datetime, **kwargs: Any
) -> str | None:
    """Receives core's `recommendation_followed`: it holds the lock, so clicks come one by one."""
    answer = ReponseServie.objects.filter(
        pk=requete_id,
        user=user,
        user__personnalisation=True,
        date__gte=date - CLICK_WINDOW,
    ).first()
    if answer is None or epreuve.pk not in answer.epreuves:
        return None
    rang = str(answer.epreuves.index(epreuve.pk) + 1)
    opened = answer.clics.split()
    if rang not in opened:
        clics = " ".join(sorted([*opened, rang], key=int))
        ReponseServie.objects.filter(pk=answer.pk).update(clics=clics)
    return answer.genre


def purge_answers(now: dt.datetime | None = None) -> int:
    """Delete what is older than JOURNAL_REPONSES_JOURS, in slices of one transaction each."""
    oldest = (now or timezone.now()) - dt.timedelta(days=settings.JOURNAL_REPONSES_JOURS)
    old = ReponseServie.objects.filter(date__lt=oldest).order_by("date")
    purged = 0
    while slice_ := list(old.values_list("pk", flat=True)[:SLICE]):
        ReponseServie.objects.filter(pk__in=slice_).delete()
        purged += len(slice_)
    return purged
