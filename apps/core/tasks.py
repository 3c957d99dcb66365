"""What a `db_worker` does for the bank."""

from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django_tasks import task
from django_tasks.base import Task

from apps.core.logs import about, request_id
from apps.core.services.subject_texts import extract_text
from apps.core.services.vignettes import draw_vignette


def hand_over(work: Task[Any, Any], pk: int) -> None:
    """Where tasks wait, in the transaction of the row: both are there, or none; else after it."""
    if settings.TACHES_EN_ARRIERE_PLAN:
        work.enqueue(pk, request_id.get())
    else:
        transaction.on_commit(partial(work.enqueue, pk, request_id.get()))


# A few seconds, where a training takes minutes.
@task(priority=10)
def extract_text_task(epreuve_id: int, an_id: str) -> None:
    with about(an_id):
        extract_text(epreuve_id)


@task(priority=10)
def draw_vignette_task(epreuve_id: int, an_id: str) -> None:
    with about(an_id):
        draw_vignette(epreuve_id)
