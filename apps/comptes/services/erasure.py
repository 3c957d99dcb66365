"""Erase an account, and all that it leaves; see docs/adr for what stays, and why."""

import logging
import re
import secrets
from functools import partial

from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Q
from django_tasks import TaskResultStatus
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from apps.comptes.traces import LOGINS, logins_of, mails_of, sessions_of
from apps.core.exceptions import Conflict
from apps.core.models import Commentaire, Epreuve, Role, Signalement, Statut, User
from apps.core.review import Action
from apps.core.services.counters import recount
from apps.core.services.epreuves import move_epreuve, refresh_search_text
from apps.core.signals import account_erased
from apps.core.text import normalise

logger = logging.getLogger(__name__)

ERASED_ACCOUNT = "Compte supprimé"
ERASED_COMMENT = "Commentaire supprimé"


@transaction.atomic
def erase_account(user: User) -> None:
    """All in one transaction, then what is outside of the database; twice is once.

    Raises Conflict for the last administrateur.
    """
    _require_another_administrateur(user)
    # Its lock lets nothing more be written of this person: the database checks that they exist.
    locked = User.objects.select_for_update().filter(pk=user.pk).first()
    if locked is None:
        return
    touched = _touched(locked)
    _leave_epreuves(locked)
    _withdraw_comments(locked)
    _leave_history(locked)
    _forget_logins(locked)
    transaction.on_commit(partial(_announce, locked.empreinte))
    locked.delete()
    # Counted, not taken away: a counter that was wrong must keep nobody here.
    recount(touched)


def _announce(empreinte: str) -> None:
    """The line that a restored backup is erased by again: see exploitation.md."""
    logger.info("Compte effacé : %s", empreinte)
    account_erased.send(sender=User)


def _require_another_administrateur(user: User) -> None:
    if user.role != Role.ADMINISTRATEUR:
        return
    administrateurs = User.objects.filter(role=Role.ADMINISTRATEUR, is_active=True)
    # Of two who leave at once, the second meets the first one gone.
    remaining = set(administrateurs.select_for_update().order_by("pk").values_list("pk", flat=True))
    if not remaining - {user.pk}:
        raise Conflict(
            "Vous êtes seul à administrer la banque : nommez d'abord un autre administrateur.",
            "dernier_administrateur",
        )


def _leave_epreuves(user: User) -> None:
    """They are the institute's. A draft, which only its author submits, goes to the archive."""
    for draft in user.epreuves_deposees.filter(statut=Statut.BROUILLON).order_by("pk"):
        move_epreuve(draft, Action.ARCHIVER, par=user)
    name = normalise(user.get_full_name())
    named = {
        pk
        for pk, text in user.epreuves_deposees.values_list("pk", "enseignant_nom")
        if text and normalise(text) == name
    }
    theirs = Q(enseignant=user) | Q(pk__in=named)
    unnamed = list(Epreuve.objects.filter(theirs).values_list("pk", flat=True))
    Epreuve.objects.filter(pk__in=unnamed).update(enseignant=None, enseignant_nom="")
    refresh_search_text(Epreuve.objects.filter(pk__in=unnamed))


def _touched(user: User) -> set[int]:
    """The épreuves whose counters stand for something of theirs."""
    return {
        *user.interactions.values_list("epreuve", flat=True),
        *user.evaluations.values_list("epreuve", flat=True),
    }


def _withdraw_comments(user: User) -> None:
    """Where somebody answered, the place stays, empty: what others wrote hangs on it."""
    list(user.commentaires.select_for_update().order_by("pk").values_list("pk"))
    user.commentaires.exclude(parent=None).delete()
    answered = list(
        user.commentaires.filter(reponses__isnull=False).values_list("pk", flat=True).distinct()
    )
    Signalement.objects.filter(commentaire__in=answered).delete()
    Commentaire.objects.filter(pk__in=answered).update(auteur=None, contenu=ERASED_COMMENT)
    user.commentaires.all().delete()


def _leave_history(user: User) -> None:
    """The administration still tells what was done and when, no longer by whom, nor to whom."""
    own = Q(content_type__app_label="core", content_type__model="commentaire")
    LogEntry.objects.filter(own, user=user, object_repr__startswith=f"{user} — ").delete()
    done = LogEntry.objects.filter(user=user)
    if done.exists():
        done.update(user=_nobody())
    LogEntry.objects.filter(
        content_type__app_label="core", content_type__model="user", object_id=str(user.pk)
    ).update(object_id=None, object_repr=ERASED_ACCOUNT)
    _unname(user)


def _nobody() -> User:
    """Its name is drawn: no living account can have it, nor tell whose lines it holds."""
    return User.objects.create(
        username=f"compte-supprime-{secrets.token_hex(6)}",
        password=make_password(None),
        is_active=False,
        personnalisation=False,
    )


def _unname(user: User) -> None:
    """A row is shown as "awa — Topologie" where it is about a person, never where an épreuve is."""
    name = re.compile(rf"(?<![\w.@+-]){re.escape(user.username)}(?![\w.@+-])", re.IGNORECASE)
    of_things = Q(content_type__model__in=["epreuve", "matiere", "filiere"])
    shown = Q(object_repr__icontains=user.username) | Q(change_message__icontains=user.username)
    lines = list(LogEntry.objects.exclude(of_things).filter(shown))
    for line in lines:
        line.object_repr = name.sub(ERASED_ACCOUNT, line.object_repr)[:200]
        line.change_message = name.sub(ERASED_ACCOUNT, line.change_message)
    LogEntry.objects.bulk_update(lines, ["object_repr", "change_message"], batch_size=500)


def _forget_logins(user: User) -> None:
    OutstandingToken.objects.filter(user=user).delete()
    for session in sessions_of(user):
        session.delete()
    for kind in LOGINS:
        logins_of(user, kind).delete()
    # Whoever runs one has read it, and will write how it ended.
    running = mails_of(user).filter(status=TaskResultStatus.RUNNING)
    running.update(args_kwargs={"args": [], "kwargs": {}})
    mails_of(user).delete()
