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
    """Say whether this is the first of its half hour, which alone may move the counter."""
    date = now or timezone.now()
    # get_or_create tells whose insert won, under any concurrency; ignore_conflicts does not.
    interaction, created = Interaction.objects.get_or_create(
        user=user,
        epreuve=epreuve,
        type_interaction=type_interaction,
        fenetre=fenetre_of(date),
        defaults={"contexte": contexte, "date": date},
    )
    if created:
        if counter := COUNTERS.get(type_interaction):
            counted = Interaction.objects.counted().filter(pk=interaction.pk).values("epreuve")
            Epreuve.objects.filter(pk__in=counted).update(**{counter: F(counter) + 1})
        history_changed(user)
    return created


def history_changed(user: User) -> None:
    """What was kept of this person's recommendations holds no more."""
    User.objects.filter(pk=user.pk).update(version_historique=F("version_historique") + 1)
    user.version_historique += 1  # for whoever goes on with the one at hand
