from django.db import transaction
from django.shortcuts import get_object_or_404

from apps.core.models import Epreuve, Evaluation, TypeInteraction, User
from apps.core.services.counters import count_evaluations
from apps.core.services.interactions import history_changed, record_interaction


@transaction.atomic
def rate_epreuve(
    *, user: User, epreuve: Epreuve, note_difficulte: int, note_pertinence: int
) -> tuple[Evaluation, bool]:
    """Create or replace the one evaluation of this person; say whether it is new."""
    _lock(epreuve.pk)
    evaluation, created = Evaluation.objects.update_or_create(
        user=user,
        epreuve=epreuve,
        defaults={"note_difficulte": note_difficulte, "note_pertinence": note_pertinence},
    )
    count_evaluations(epreuve.pk)
    record_interaction(user=user, epreuve=epreuve, type_interaction=TypeInteraction.EVALUATION)
    # Within the same half hour no new interaction is recorded, but the pair's worth may change.
    history_changed(user)
    return evaluation, created


@transaction.atomic
def change_notes(evaluation: Evaluation, **notes: int) -> Evaluation:
    """Only those given: a request beside this one may be changing, or withdrawing, the rest."""
    _lock(evaluation.epreuve_id)
    now = get_object_or_404(Evaluation.objects.select_related("user", "epreuve"), pk=evaluation.pk)
    both = {"note_difficulte": now.note_difficulte, "note_pertinence": now.note_pertinence} | notes
    return rate_epreuve(user=now.user, epreuve=now.epreuve, **both)[0]


@transaction.atomic
def withdraw_evaluation(evaluation: Evaluation) -> None:
    _lock(evaluation.epreuve_id)
    Evaluation.objects.filter(pk=evaluation.pk).delete()
    count_evaluations(evaluation.epreuve_id)
    history_changed(evaluation.user)


def _lock(epreuve_id: int) -> None:
    """The evaluations of an épreuve are written, and counted, one after the other."""
    Epreuve.objects.select_for_update(no_key=True).values_list("pk").get(pk=epreuve_id)
