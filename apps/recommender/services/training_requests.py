"""Ask for a training that a worker does."""

from django.db import IntegrityError, transaction
from django_tasks_db.models import DBTaskResult

from apps.core.models import User
from apps.core.tasks import hand_over
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.models import Declencheur, StatutEntrainement, TrainingLog
from apps.recommender.services import training
from apps.recommender.services.training import TrainingInProgress
from apps.recommender.tasks import train_task


def request_training(
    config: TrainingConfig,
    *,
    version: str = "",
    declencheur: str = Declencheur.COMMANDE,
    lance_par: User | None = None,
) -> TrainingLog:
    """A run that waits for its turn; where tasks are done in place, it is done on return.

    Its worker may be another machine: only there is the device asked for.
    """
    training.require_free_place()
    version = version or training.default_version(config)
    training.require_free_version(version)
    _free_lost_turn()
    run = training.new_run(config, version, declencheur, lance_par)
    run.statut = StatutEntrainement.EN_ATTENTE
    try:
        with transaction.atomic():
            run.save()
            hand_over(train_task, run.pk)
    except IntegrityError:
        raise TrainingInProgress(
            "Un entraînement attend déjà un travailleur : lancez `python manage.py db_worker`."
        ) from None
    run.refresh_from_db()
    return run


def _free_lost_turn() -> None:
    """A worker killed just after it took a run's task leaves it waiting for nobody."""
    waiting = TrainingLog.objects.filter(statut=StatutEntrainement.EN_ATTENTE).first()
    if waiting and not _is_queued(waiting):
        training.end(
            waiting,
            StatutEntrainement.INTERROMPU,
            "Son travailleur s'est arrêté avant de commencer.",
        )


def _is_queued(run: TrainingLog) -> bool:
    tasks = DBTaskResult.objects.ready().filter(task_path=train_task.module_path)
    return tasks.filter(args_kwargs__args__0=run.pk).exists()
