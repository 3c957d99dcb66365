from django.conf import settings
from django.db import transaction

from apps.core.exceptions import Conflict
from apps.core.models import (
    Commentaire,
    Epreuve,
    Signalement,
    StatutCommentaire,
    TypeInteraction,
    User,
)
from apps.core.services import journal
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


@transaction.atomic
def moderate_comment(commentaire: Commentaire, statut: StatutCommentaire, *, par: User) -> None:
    """Decides on every report there is: those count no more. What is deleted stays so."""
    locked = _locked(commentaire.pk)
    if locked.statut == StatutCommentaire.SUPPRIME:
        raise Conflict("Ce commentaire est supprimé.", "transition_impossible")
    before = locked.get_statut_display()
    _set_statut(locked, statut)
    locked.signalements.update(traite=True)
    journal.note(locked, f"Commentaire : {before} → {statut.label}.", par=par)


@transaction.atomic
def report_comment(commentaire: Commentaire, *, par: User, motif: str) -> None:
    """As many people as SIGNALEMENTS_MASQUAGE mask it; under its lock, they are counted exactly."""
    locked = _locked(commentaire.pk)
    if locked.auteur_id == par.pk:
        raise Conflict("Ce commentaire est le vôtre : supprimez-le.", "commentaire_a_soi")
    _, new = Signalement.objects.get_or_create(
        commentaire=locked, user=par, defaults={"motif": motif}
    )
    if not new:
        raise Conflict("Vous avez déjà signalé ce commentaire.", "deja_signale")
    waiting = locked.signalements.filter(traite=False).count()
    if locked.statut == StatutCommentaire.VISIBLE and waiting >= settings.SIGNALEMENTS_MASQUAGE:
        _set_statut(locked, StatutCommentaire.MASQUE)


def _locked(pk: int) -> Commentaire:
    return Commentaire.objects.select_for_update(no_key=True).get(pk=pk)


def _set_statut(commentaire: Commentaire, statut: StatutCommentaire) -> None:
    commentaire.statut = statut
    commentaire.save(update_fields=["statut"])
