"""What a `db_worker` does for the recommender."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from django_tasks import task

from apps.core.logs import about
from apps.recommender.labels import gain_in_words
from apps.recommender.models import StatutEntrainement, TrainingLog
from apps.recommender.services import training

logger = logging.getLogger(__name__)


@task()
def train_task(run_id: int, request_id: str) -> None:
    with about(request_id):
        _train(run_id)


def _train(run_id: int) -> None:
    run = TrainingLog.objects.get(pk=run_id)
    if run.statut != StatutEntrainement.EN_ATTENTE:
        return
    logger.info("%s : modèle %s", run, run.version)
    with _stopping_with_its_worker():
        outcome = training.train_waiting(run)
    verdict = outcome.model.motif_refus or "Actif."
    gain = gain_in_words(run.metriques, run.references)
    logger.info("%s : modèle %s. %s %s", run, run.version, verdict, gain)


@contextmanager
def _stopping_with_its_worker() -> Iterator[None]:
    """A worker told to stop would finish its task first; nobody waits for a training."""
    if threading.current_thread() is not threading.main_thread():
        yield  # The worker that reloads with the code: signals are not its own to take.
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)  # so that it takes no other task
        raise KeyboardInterrupt("Son travailleur a été arrêté.")

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
