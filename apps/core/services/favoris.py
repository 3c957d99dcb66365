from django.db import transaction

from apps.core.models import Epreuve, Favori, TypeInteraction, User
from apps.core.services.interactions import history_changed, record_interaction


@transaction.atomic
def add_favori(*, user: User, epreuve: Epreuve) -> None:
    _, new = Favori.objects.get_or_create(user=user, epreuve=epreuve)
    if new:
        record_interaction(user=user, epreuve=epreuve, type_interaction=TypeInteraction.FAVORI)
        # Put back within the half hour it is no new interaction, but counts again.
        history_changed(user)


@transaction.atomic
def remove_favori(*, user: User, epreuve: Epreuve) -> None:
    """The interaction stays in the log; `selectors.standing` no longer counts it."""
    removed, _ = Favori.objects.filter(user=user, epreuve=epreuve).delete()
    if removed:
        history_changed(user)
