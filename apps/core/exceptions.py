"""Refusals that name themselves; `errors` gives them their form."""

from django.conf import settings
from rest_framework.exceptions import APIException, NotFound


def in_words(refusal: APIException) -> str:
    """Where there are no fields to hang it on."""
    detail = refusal.detail
    return " ".join(map(str, detail)) if isinstance(detail, list) else str(detail)


class Conflict(APIException):
    status_code = 409
    default_code = "conflit"


class Duplicate(Conflict):
    """The bank holds the file already; `epreuve` names by which, to who may see it."""

    default_code = "fichier_duplique"

    def __init__(self, epreuve: int | None = None) -> None:
        where = f" : épreuve {epreuve}." if epreuve else "."
        super().__init__("Ce fichier est déjà dans la banque" + where)
        self.epreuve = epreuve


class TooLarge(APIException):
    status_code = 413
    default_code = "trop_volumineux"
    default_detail = "La requête est trop volumineuse."


class FileTooLarge(TooLarge):
    def __init__(self) -> None:
        most = settings.TAILLE_MAX_OCTETS // (1024 * 1024)
        super().__init__(f"Ce fichier dépasse {most} Mo : réduisez-le, puis renvoyez-le.")


class NotAPdf(APIException):
    status_code = 415
    default_code = "pdf_attendu"
    default_detail = (
        "Ce n'est pas un PDF, ou pas un seul : envoyez un PDF, ou les photographies JPEG ou PNG "
        "des pages, dans leur ordre."
    )


class UnsatisfiableRange(APIException):
    status_code = 416
    default_code = "intervalle_impossible"

    def __init__(self, size: int) -> None:
        super().__init__(f"Ce fichier a {size} octets : rien ne suit.")
        self.headers = {"Content-Range": f"bytes */{size}"}


class NotPublished(NotFound):
    default_detail = "Cette épreuve n'existe pas ou n'est pas publiée."


class MissingFile(NotFound):
    default_code = "fichier_absent"
    default_detail = "Cette épreuve n'a pas ce document."


class DatabaseDown(APIException):
    status_code = 503
    default_code = "base_indisponible"
    default_detail = "La base de données ne répond pas. Réessayez dans quelques secondes."
    wait = 5


class MigrationsMissing(APIException):
    status_code = 503
    default_code = "migrations_en_attente"
    default_detail = "Le code attend des migrations : lancez `python manage.py migrate`."
    wait = 5
