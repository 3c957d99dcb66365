"""Ask for a training that somebody else does: a worker, or where there is none, a process."""

import socket
import subprocess
import sys
import threading
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from apps.core.models import User
from apps.core.tasks import hand_over
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.errors import DeviceUnavailable, InvalidVersion, VersionExists
from apps.recommender.models import Declencheur, StatutEntrainement, TrainingLog
from apps.recommender.options import OptionRefused
from apps.recommender.services import training, training_runs
from apps.recommender.tasks import train_task


def request_training(
    config: TrainingConfig,
    *,
    version: str = "",
    declencheur: str = Declencheur.COMMANDE,
    lance_par: User | None = None,
) -> TrainingLog:
    """A run that waits for its turn; who does it may be another machine, which has the device.

    Raises OptionRefused and TrainingInProgress.
    """
    version = version or training.default_version(config)
    _require_device(config)
    try:
        training.require_free_version(version)
    except (InvalidVersion, VersionExists) as error:
        raise OptionRefused("version", str(error)) from None
    training_runs.require_free_place()
    _free_lost_turn()
    run = training_runs.new_run(config, version, declencheur, lance_par)
    run.statut = StatutEntrainement.EN_ATTENTE
    with training_runs.one_turn():
        run.save()
        _hand_over(run)
    return run


def _require_device(config: TrainingConfig) -> None:
    """Where this machine is to train; that of a worker may have the card that this one lacks."""
    if settings.TACHES_EN_ARRIERE_PLAN or config.device == "cpu":
        return
    try:
        training.require_device(config)
    except DeviceUnavailable as error:
        raise OptionRefused("device", str(error)) from None


def request_resume(run: TrainingLog) -> None:
    """Let a stopped run wait to go on from where it was. Raises NotResumable."""
    training_runs.require_free_place()
    _free_lost_turn()
    with training_runs.one_turn():
        training_runs.reopen(run)
        _hand_over(run)


def waits_for_nobody(run: TrainingLog) -> bool:
    """Who was to do it is gone: a worker killed just after it took the task, a process."""
    if settings.TACHES_EN_ARRIERE_PLAN:
        # A worker that has just taken it will say so in an instant.
        return run.is_forgotten and not _is_queued(run)
    return run.lost_its_process


def who_does_it(run: TrainingLog) -> str:
    if settings.TACHES_EN_ARRIERE_PLAN:
        return "le premier travailleur libre (python manage.py db_worker) le prend."
    return f"un processus à part s'en charge, et écrit dans {training_runs.journal_of(run)}."


def what_to_do(run: TrainingLog) -> str:
    """About a run that waits for too long."""
    if settings.TACHES_EN_ARRIERE_PLAN:
        return "lancez `python manage.py db_worker`."
    return f"lisez ce qu'en dit {training_runs.journal_of(run)}, puis annulez-le."


def _free_lost_turn() -> None:
    waiting = TrainingLog.objects.filter(statut=StatutEntrainement.EN_ATTENTE).first()
    if waiting and waits_for_nobody(waiting):
        training_runs.end(
            waiting, StatutEntrainement.INTERROMPU, "Son tour est venu, et personne ne l'a fait."
        )


def _is_queued(run: TrainingLog) -> bool:
    tasks = DBTaskResult.objects.ready().filter(task_path=train_task.module_path)
    return tasks.filter(args_kwargs__args__0=run.pk).exists()


def _hand_over(run: TrainingLog) -> None:
    if settings.TACHES_EN_ARRIERE_PLAN:
        hand_over(train_task, run.pk)
    else:
        transaction.on_commit(partial(start_process, run))


def start_process(run: TrainingLog) -> None:
    """Detached: it outlives who asked for it, and has a journal to speak to."""
    journal = training_runs.journal_of(run)
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "train_model", f"--run={run.pk}"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    # Whoever does not wait for a child keeps its number alive, and the run would look so too.
    threading.Thread(target=process.wait, daemon=True).start()
    here = {"hote": socket.gethostname(), "pid": process.pid, "battement": timezone.now()}
    TrainingLog.objects.filter(pk=run.pk, statut=StatutEntrainement.EN_ATTENTE).update(**here)
