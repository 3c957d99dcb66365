"""Everything that the bank holds of one person, and nothing of anybody else."""

from typing import Any, cast

from axes.models import AccessAttempt, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import F, QuerySet
from django.urls import reverse
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from apps.comptes.traces import logins_of, mails_of, sessions_of
from apps.core.models import Epreuve, Statut, User
from apps.core.signals import export_asked


def held_of(user: User) -> dict[str, Any]:
    """By section. An épreuve is its id; `epreuves` gives the titles that this person may read."""
    sections: dict[str, Any] = {
        "compte": _account(user),
        "interactions": _rows(
            user.interactions.order_by("date", "id"),
            "id epreuve type_interaction contexte requete_id date",
        ),
        "evaluations": _rows(
            user.evaluations.order_by("id"),
            "id epreuve note_difficulte note_pertinence date_creation date_modification",
        ),
        "commentaires": _rows(
            user.commentaires.order_by("id"),
            "id epreuve parent contenu statut date_creation date_modification",
        ),
        "favoris": _rows(user.favoris.order_by("id"), "epreuve date"),
        "signalements": _rows(user.signalements.order_by("id"), "id commentaire motif date traite"),
        "epreuves_deposees": _deposited(user),
        "epreuves_enseignees": [
            {"epreuve": pk}
            for pk in user.epreuves_enseignees.order_by("id").values_list("pk", flat=True)
        ],
    }
    sections["epreuves"] = _titles(user, sections)
    sections |= _logins(user) | _history(user)
    for _, more in export_asked.send(sender=User, user=user):
        sections.update(cast(dict[str, Any], more))
    return sections


_DEPOSITED = (
    "id titre description matiere__code filiere__code niveau type_epreuve session semestre "
    "annee_academique annee enseignant_nom statut motif_rejet date_creation date_modification "
    "date_publication taille_octets sha256 taille_corrige_octets sha256_corrige"
)


def _rows(queryset: QuerySet[Any], names: str) -> list[dict[str, Any]]:
    rows = queryset.values(*names.split())
    return [{name.removesuffix("__code"): one for name, one in row.items()} for row in rows]


def _deposited(user: User) -> list[dict[str, Any]]:
    """With where to read it and ask for its files, unless it is archived."""
    rows = _rows(user.epreuves_deposees.order_by("id"), _DEPOSITED)
    for row in rows:
        hidden = row["statut"] == Statut.ARCHIVEE
        row["adresse"] = None if hidden else reverse("epreuve-detail", args=[row["id"]])
    return rows


def _account(user: User) -> dict[str, Any]:
    return {
        "id": user.pk,
        "username": user.username,
        "email": user.email,
        "prenom": user.first_name,
        "nom": user.last_name,
        "role": user.role,
        "matricule": user.matricule,
        "filiere": user.filiere.code if user.filiere else None,
        "niveau": user.niveau,
        "personnalisation": user.personnalisation,
        "date_inscription": user.date_joined,
        "derniere_connexion": user.last_login,
        "groupes": sorted(user.groups.values_list("name", flat=True)),
        "droits": sorted(user.user_permissions.values_list("codename", flat=True)),
        "empreinte_dans_les_journaux": user.empreinte,
    }


def _titles(user: User, sections: dict[str, Any]) -> list[dict[str, Any]]:
    lists = (rows for rows in sections.values() if isinstance(rows, list))
    named = {row["epreuve"] for rows in lists for row in rows if "epreuve" in row}
    return _rows(Epreuve.objects.visible_to(user).filter(pk__in=named).order_by("id"), "id titre")


def _logins(user: User) -> dict[str, Any]:
    """Of a failed try, no address: it may be somebody else's."""
    tokens = OutstandingToken.objects.filter(user=user).order_by("pk")
    return {
        "jetons": _rows(tokens, "created_at expires_at"),
        "sessions_administration": [{"expire_le": one.expire_date} for one in sessions_of(user)],
        "connexions_administration": _rows(
            logins_of(user, AccessLog), "attempt_time logout_time ip_address user_agent"
        ),
        "echecs_de_connexion": _rows(
            logins_of(user, AccessAttempt), "attempt_time failures_since_start"
        ),
        "liens_de_mot_de_passe": _rows(mails_of(user), "enqueued_at status"),
    }


def _history(user: User) -> dict[str, Any]:
    """Neither who did what to my account, nor the names of those to whom I did something."""
    names = ("action_time", "objet", "object_id", "action_flag")
    lines = LogEntry.objects.alias().annotate(objet=F("content_type__model")).order_by("pk")
    account = ContentType.objects.get_for_model(User)
    return {
        "gestes_d_administration": [
            # Django's own messages are lists, and name rows of others.
            {**row, "message": "" if (text := row.pop("change_message")).startswith("[") else text}
            for row in lines.filter(user=user).values(*names, "change_message")
        ],
        "gestes_sur_mon_compte": list(
            lines.filter(content_type=account, object_id=str(user.pk)).values(
                "action_time", "action_flag"
            )
        ),
    }
