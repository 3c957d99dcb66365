"""What a `db_worker` does for the recommender."""

import logging

from django_tasks import task

from apps.core.logs import about
from apps.recommender.interruption import stopping_on_signals
from apps.recommender.labels import gain_in_words
from apps.recommender.models import StatutEntrainement, TrainingLog
from apps.recommender.services import training
from apps.recommender.services.training_runs import TrainingStopped

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
    # A worker told to stop would finish its task first; nobody waits for a training.
    with stopping_on_signals("Son travailleur a été arrêté."):
        try:
            outcome = training.train_waiting(run)
        except TrainingStopped as stop:
            logger.info("%s : %s", run, stop)
            return
    verdict = outcome.model.motif_refus or "Actif."
    gain = gain_in_words(run.metriques, run.references)
    logger.info("%s : modèle %s. %s %s", run, run.version, verdict, gain)
