import datetime as dt

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.core.models import Contexte, Epreuve, Interaction, TypeInteraction, User, fenetre_of

COUNTERS: dict[str, str] = {
    TypeInteraction.VUE: "nb_vues",
    TypeInteraction.TELECHARGEMENT: "nb_telechargements",
}


@transaction.atomic
def record_interaction(
    *,
    user: User,
    epreuve: Epreuve,
    type_interaction: str,
    contexte: str = Contexte.DIRECT,
    now: dt.datetime | None = None,
) -> bool:
    """Say whether this is the first of its half hour, which alone moves the counter."""
    date = now or timezone.now()
    # get_or_create tells whose insert won, under any concurrency; ignore_conflicts does not.
    _, created = Interaction.objects.get_or_create(
        user=user,
        epreuve=epreuve,
        type_interaction=type_interaction,
        fenetre=fenetre_of(date),
        defaults={"contexte": contexte, "date": date},
    )
    counter = COUNTERS.get(type_interaction)
    if created and counter:
        Epreuve.objects.filter(pk=epreuve.pk).update(**{counter: F(counter) + 1})
    return created
