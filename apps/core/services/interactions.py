import datetime as dt
import uuid

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.core.models import Contexte, Epreuve, Interaction, TypeInteraction, User, fenetre_of
from apps.core.signals import recommendation_followed

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
    requete_id: uuid.UUID | None = None,
    now: dt.datetime | None = None,
) -> bool:
    """Say whether this is the first of its half hour, which alone may move the counter.

    requete_id: the answer that this person came from, which may be said by a later one only.
    """
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
    if requete_id and requete_id != interaction.requete_id:
        _follow(interaction, requete_id, date)
    return created


def _follow(interaction: Interaction, requete_id: uuid.UUID, date: dt.datetime) -> None:
    """Join the interaction with the answer that showed the épreuve, if there is such an answer."""
    user = User.objects.select_for_update(no_key=True).get(pk=interaction.user_id)
    answers = recommendation_followed.send(
        sender=Interaction,
        user=user,
        epreuve=interaction.epreuve,
        requete_id=requete_id,
        date=date,
    )
    for contexte in filter(None, (contexte for _, contexte in answers)):
        # The first of the half hour that is known stays; the other one was counted by its giver.
        unjoined = Interaction.objects.filter(pk=interaction.pk, requete_id=None)
        unjoined.update(requete_id=requete_id, contexte=contexte)


def history_changed(user: User) -> None:
    """What was kept of this person's recommendations holds no more."""
    User.objects.filter(pk=user.pk).update(version_historique=F("version_historique") + 1)
    user.version_historique += 1  # for whoever goes on with the one at hand
