"""What another person is recommended, looked at without leaving a trace in what is counted."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from apps.core.models import Interaction, User
from apps.core.selectors import history_of
from apps.core.services import journal
from apps.recommender import model_store
from apps.recommender.services.recommendations import Answer, personalized

SHOWN, LAST = 10, 10
CONSULTED = "Recommandations consultées (Voir comme)."


@dataclass(frozen=True)
class Preview:
    """known: the model met this person when it was trained."""

    person: User
    known: bool
    answer: Answer
    last: list[Interaction]


def seen_as(person: User, *, par: User) -> Preview:
    """No interaction, no telemetry, nothing kept in the cache; but who looked is written down."""
    with transaction.atomic():
        journal.note(person, CONSULTED, par=par)
    serving = model_store.active_model()
    answer = personalized(person, serving, top_k=SHOWN, explain=True, keep=False)
    known = serving.predictor is not None and serving.predictor.knows_user(person.pk)
    return Preview(person, known, answer, list(history_of(person)[:LAST]))
