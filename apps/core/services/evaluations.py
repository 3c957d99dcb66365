from django.db import transaction
from django.db.models import F

from apps.core.models import Epreuve, Evaluation, TypeInteraction, User
from apps.core.services.interactions import record_interaction


@transaction.atomic
def rate_epreuve(
    *, user: User, epreuve: Epreuve, note_difficulte: int, note_pertinence: int
) -> tuple[Evaluation, bool]:
    """Create or replace the one evaluation of this person; say whether it is new."""
    _lock(epreuve.pk)
    mine = Evaluation.objects.filter(user=user, epreuve=epreuve).first()
    _move(epreuve.pk, mine, -1)
    evaluation, created = Evaluation.objects.update_or_create(
        user=user,
        epreuve=epreuve,
        defaults={"note_difficulte": note_difficulte, "note_pertinence": note_pertinence},
    )
    _move(epreuve.pk, evaluation, +1)
    record_interaction(user=user, epreuve=epreuve, type_interaction=TypeInteraction.EVALUATION)
    return evaluation, created


@transaction.atomic
def withdraw_evaluation(evaluation: Evaluation) -> None:
    """Twice at once moves the counters once."""
    _lock(evaluation.epreuve_id)
    current = Evaluation.objects.filter(pk=evaluation.pk).first()
    _move(evaluation.epreuve_id, current, -1)
    Evaluation.objects.filter(pk=evaluation.pk).delete()


def _lock(epreuve_id: int) -> None:
    """The evaluations of an épreuve are written one after the other: no race on the pair."""
    Epreuve.objects.select_for_update(no_key=True).values_list("pk").get(pk=epreuve_id)


def _move(epreuve_id: int, evaluation: Evaluation | None, sign: int) -> None:
    if evaluation is None:
        return
    Epreuve.objects.filter(pk=epreuve_id).update(
        nb_evaluations=F("nb_evaluations") + sign,
        somme_difficulte=F("somme_difficulte") + sign * evaluation.note_difficulte,
        somme_pertinence=F("somme_pertinence") + sign * evaluation.note_pertinence,
    )
