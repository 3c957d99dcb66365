"""The text of the subjects, read behind the requests, in a process that may die of it."""

import logging
from collections.abc import Callable

from django.db import transaction

from apps.core.models import Epreuve, EtatTexte, TexteEpreuve
from apps.core.pdf_text import read_text
from apps.core.sandbox import FailedInSandbox, run_limited
from apps.core.text import words

logger = logging.getLogger(__name__)

SECONDS = 30
MEMORY = 512 * 1024 * 1024
Progress = Callable[[int, int], None]


def extract_text(epreuve_id: int) -> bool:
    """From now on the épreuve is found by what its subject says; was there any text?"""
    epreuve = Epreuve.objects.get(pk=epreuve_id)
    found = _read(epreuve)
    with transaction.atomic():
        locked = Epreuve.objects.select_for_update(no_key=True).get(pk=epreuve_id)
        # Another subject took its place meanwhile: that one has a task of its own.
        if locked.fichier.name == epreuve.fichier.name:
            etat = EtatTexte.FAIT if found else EtatTexte.SANS_TEXTE
            TexteEpreuve.objects.filter(pk=locked.pk).update(etat=etat, sujet=found)
    return bool(found)


def extract_texts(
    *, everything: bool = False, on_progress: Progress = lambda done, total: None
) -> tuple[int, int]:
    """Read the subjects that wait, or all of them; how many, and how many without text?"""
    texts = TexteEpreuve.objects.order_by("pk")
    rows = texts if everything else texts.filter(etat=EtatTexte.EN_ATTENTE)
    ids = list(rows.exclude(epreuve__fichier="").values_list("pk", flat=True))
    without = 0
    for done, pk in enumerate(ids, start=1):
        without += not extract_text(pk)
        on_progress(done, len(ids))
    return len(ids), without


def _read(epreuve: Epreuve) -> list[str]:
    try:
        with epreuve.fichier.open() as stored:
            text = run_limited(read_text, stored.file, timeout_s=SECONDS, memory_bytes=MEMORY)
    except (FailedInSandbox, FileNotFoundError) as failure:
        logger.warning("Épreuve %s sans texte : %s", epreuve.pk, failure)
        return []
    return words(text.decode())
