"""The words by which épreuves are found, kept in step with what is said of them."""

from collections.abc import Collection

from apps.core.models import Epreuve, EtatTexte, Mot, TexteEpreuve
from apps.core.search import TOLERANCE_MIN
from apps.core.text import words

BATCH = 500


def index_epreuves(epreuves: Collection[Epreuve], *, new_subject: bool = False) -> None:
    """Within the caller's transaction; of the PDF, what was read stays unless it is a new one."""
    rows = [text_of(epreuve) for epreuve in epreuves]
    TexteEpreuve.objects.bulk_create(
        rows,
        BATCH,
        update_conflicts=True,
        unique_fields=["epreuve"],
        update_fields=["titre", "fiche", *(("etat", "sujet") if new_subject else ())],
    )
    learn_words(rows)


def text_of(epreuve: Epreuve) -> TexteEpreuve:
    """Not saved, its PDF not read."""
    return TexteEpreuve(
        epreuve=epreuve,
        etat=EtatTexte.EN_ATTENTE if epreuve.fichier else EtatTexte.SANS_TEXTE,
        titre=words(epreuve.titre),
        fiche=words(epreuve.searchable_text()),
        sujet=(),
    )


def learn_words(rows: list[TexteEpreuve]) -> None:
    """In order, so that two deposits wait for each other instead of locking each other out."""
    found = sorted({word for row in rows for word in row.fiche if _is_spelt(word)})
    Mot.objects.bulk_create([Mot(texte=word) for word in found], BATCH, ignore_conflicts=True)


def forget_words(candidates: set[str]) -> None:
    """Those that no record says any more: they may be the name of somebody who left."""
    if not candidates:
        return
    said = TexteEpreuve.objects.filter(fiche__hold=(tuple(candidates),)).values_list("fiche")
    left = candidates - {word for (fiche,) in said.iterator() for word in fiche}
    Mot.objects.filter(texte__in=left).delete()


def _is_spelt(word: str) -> bool:
    return len(word) >= TOLERANCE_MIN - 1 and word.isalpha()
