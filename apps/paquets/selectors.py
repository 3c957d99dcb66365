from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q

from apps.core.models import Epreuve, Interaction, TypeInteraction, User
from apps.core.querysets import EpreuveQuerySet
from apps.paquets.models import DocumentPaquet, Paquet


def received(user: User) -> set[str]:
    """SHA-256 of all that earlier paquets have brought this person."""
    handed = DocumentPaquet.objects.filter(paquet__user=user, paquet__remis_le__isnull=False)
    return set(handed.values_list("sha256", flat=True))


def with_something_new(user: User, *, corriges: bool) -> EpreuveQuerySet:
    """Published, with a document that they have not: a new file or corrigé of it is new as well.

    Of what they downloaded by itself, which document is not known: all of it is left out.
    """
    downloads = Interaction.objects.filter(
        user=user, epreuve=OuterRef("pk"), type_interaction=TypeInteraction.TELECHARGEMENT
    )
    open_to = Epreuve.objects.published().filter(~Exists(downloads))
    new = open_to.exclude(fichier="").filter(~_brought(user, "sha256"))
    if corriges:
        new |= open_to.with_corrige_for(AnonymousUser()).filter(~_brought(user, "sha256_corrige"))
    return new


def _brought(user: User, sha256: str) -> Exists:
    handed = Q(paquet__user=user, paquet__remis_le__isnull=False)
    return Exists(
        DocumentPaquet.objects.filter(handed, epreuve=OuterRef("pk"), sha256=OuterRef(sha256))
    )


def held_of(user: User, **kwargs: Any) -> dict[str, Any]:
    """Receives core's `export_asked`: what was asked for, and what came of it."""
    paquets = Paquet.objects.filter(user=user).order_by("pk").prefetch_related("documents")
    return {
        "paquets": [
            {
                "sha256": paquet.sha256,
                "taille_octets": paquet.taille_octets,
                "date": paquet.date,
                "remis_le": paquet.remis_le,
                "documents": [
                    {"epreuve": one.epreuve_id, "document": one.document, "nom": one.nom}
                    for one in paquet.documents.all()
                ],
            }
            for paquet in paquets
        ]
    }
