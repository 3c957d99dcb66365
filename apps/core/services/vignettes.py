"""The first page of each sujet as a small picture, drawn behind the requests."""

import logging

from django.db import transaction

from apps.core.first_page import first_page_webp
from apps.core.models import Epreuve
from apps.core.sandbox import FailedInSandbox, run_limited
from apps.core.services.files import new_files

logger = logging.getLogger(__name__)

TIMEOUT_S = 20
MEMORY = 512 * 1024 * 1024


def draw_vignette(epreuve_id: int) -> bool:
    """Whether it has one now; one that cannot be drawn is no failure of the épreuve."""
    epreuve = Epreuve.objects.filter(pk=epreuve_id).exclude(fichier="").first()
    if epreuve is None:
        return False
    try:
        with epreuve.fichier.open() as sujet:
            webp = run_limited(
                first_page_webp, sujet.file, timeout_s=TIMEOUT_S, memory_bytes=MEMORY
            )
    except (FailedInSandbox, FileNotFoundError) as failure:
        logger.warning("Pas de vignette pour l'épreuve %s : %s", epreuve_id, failure)
        return False
    with new_files() as files, transaction.atomic():
        rows = Epreuve.objects.select_for_update(no_key=True).filter(pk=epreuve_id)
        # A sujet replaced meanwhile has a task of its own.
        if (locked := rows.filter(fichier=epreuve.fichier.name).first()) is None:
            return False
        files.put_vignette(locked, webp)
        # Past `save`: the épreuve itself has not changed.
        rows.update(vignette=locked.vignette.name)
    return True
