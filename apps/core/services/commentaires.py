from django.db import transaction

from apps.core.models import (
    Commentaire,
    Epreuve,
    StatutCommentaire,
    TypeInteraction,
    User,
)
from apps.core.services.interactions import record_interaction


@transaction.atomic
def post_comment(
    *, auteur: User, epreuve: Epreuve, contenu: str, parent: Commentaire | None = None
) -> Commentaire:
    record_interaction(user=auteur, epreuve=epreuve, type_interaction=TypeInteraction.COMMENTAIRE)
    return Commentaire.objects.create(
        auteur=auteur, epreuve=epreuve, contenu=contenu, parent=parent
    )


def edit_comment(commentaire: Commentaire, *, contenu: str) -> None:
    """Only the words: a moderator may be hiding it at the same moment."""
    commentaire.contenu = contenu
    commentaire.save(update_fields=["contenu", "date_modification"])


def remove_comment(commentaire: Commentaire) -> None:
    """It is shown to moderators only; its replies stay."""
    commentaire.statut = StatutCommentaire.SUPPRIME
    commentaire.save(update_fields=["statut", "date_modification"])
