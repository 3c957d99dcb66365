"""The life of a training's row: it takes its place, gives signs of life, is stopped, ends once."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import (
    IntegrityError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)
from django.db.models import QuerySet
from django.utils import timezone

from apps.core.models import User
from apps.recommender.ml import disk
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.models import Etape, StatutEntrainement, TrainingLog
from apps.recommender.services import model_files

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2
# For so long, and so often, a write is tried again when the database is away or locked.
PATIENCE_SECONDS, RETRY_SECONDS = 300, 5

T = TypeVar("T")
Progress = Callable[[int, int], None]
Epoch = Callable[[dict[str, Any]], None]


class TrainingInProgress(Exception):
    """Another run holds the one place there is: `run`, where it is known."""

    def __init__(self, message: str, run: TrainingLog | None = None) -> None:
        super().__init__(message)
        self.run = run


class TrainingStopped(Exception):
    """Somebody asked the run to stop."""


class TrainingSuperseded(Exception):
    """The run was declared dead, and its row is no longer this process's to write."""


class NotStoppable(Exception):
    """The run has ended."""


class NotResumable(Exception):
    """The run lives, is done, or has nothing left to go on from."""


@dataclass
class Watch:
    """Writes a run's progress to its row, every few seconds at most, and hears who stops it."""

    run: TrainingLog
    on_epoch: Epoch = lambda entry: None
    on_step: Progress = lambda done, total: None
    beaten_at: float = field(default_factory=time.monotonic)

    def stage(self, etape: Etape) -> None:
        self._beat(etape=etape)

    def epoch(self, entry: dict[str, Any]) -> None:
        """A run that goes on from a checkpoint may do an epoch again."""
        before = [past for past in self.run.historique if past["epoch"] < entry["epoch"]]
        self._beat(historique=[*before, entry], epoch_courante=entry["epoch"])
        self.on_epoch(entry)

    def step(self, done: int, total: int) -> None:
        self.pulse()
        self.on_step(done, total)

    def pulse(self) -> None:
        if time.monotonic() - self.beaten_at > HEARTBEAT_SECONDS:
            self._beat()

    def _beat(self, **values: Any) -> None:
        """A database that is away for a moment costs a beat, not the hours of a training."""
        self.beaten_at = time.monotonic()
        try:
            _renew_connection()
            write(self.run, battement=timezone.now(), **values)
            asked = _held(self.run).filter(arret_demande_le__isnull=False).exists()
        except OperationalError as error:
            logger.warning("%s : avancement non écrit : %s", self.run, error)
            return
        if asked:
            raise TrainingStopped("Annulé à la demande.")


def new_run(
    config: TrainingConfig, version: str, declencheur: str, lance_par: User | None
) -> TrainingLog:
    """Not saved: its place, or its turn, decides whether it may be."""
    return TrainingLog(
        version=version,
        declencheur=declencheur,
        lance_par=lance_par,
        hyperparametres=asdict(config),
        epoch_totale=config.epochs,
    )


def require_free_place() -> None:
    """Refuse while a run lives; end the one whose process died."""
    for run in TrainingLog.objects.filter(statut=StatutEntrainement.EN_COURS):
        if not run.is_dead:
            raise TrainingInProgress(
                f"{run} en cours depuis {timezone.localtime(run.debut):%H:%M}"
                " : attendez sa fin ou annulez-le.",
                run,
            )
        end(run, StatutEntrainement.INTERROMPU, "Le processus s'est arrêté sans prévenir.")


@contextmanager
def one_turn() -> Iterator[None]:
    """The transaction in which a run begins to wait: one does at most."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        waiting = "Un entraînement attend déjà "
        who = "un travailleur : lancez `python manage.py db_worker`."
        raise TrainingInProgress(
            waiting + (who if settings.TACHES_EN_ARRIERE_PLAN else "son tour."),
            TrainingLog.objects.filter(statut=StatutEntrainement.EN_ATTENTE).first(),
        ) from None


def take_place(run: TrainingLog) -> None:
    """Of a run that is new, or that waits: raises TrainingInProgress, or NotResumable if no more.

    Its `debut` stays that of its data.
    """
    now = timezone.now()
    taken = {
        "statut": StatutEntrainement.EN_COURS,
        "debut": run.debut if run.reprises else now,
        "battement": now,
        "hote": socket.gethostname(),
        "pid": os.getpid(),
    }
    pk = run.pk

    def take() -> None:
        run.pk = pk  # A commit that was lost has left its own.
        _take(run, taken)

    try:
        patiently(transaction.atomic(take))
    except IntegrityError:
        raise TrainingInProgress(
            "Un autre entraînement vient de commencer : attendez sa fin ou annulez-le."
        ) from None


def _take(run: TrainingLog, values: dict[str, Any]) -> None:
    if run.pk is None:
        _set(run, values)
        run.save()
    elif _held(run, StatutEntrainement.EN_ATTENTE).update(**values):
        _set(run, values)
    else:
        raise NotResumable(f"{run} n'attend plus.")


def write(run: TrainingLog, **values: Any) -> None:
    """Only as long as the row is this process's; raises TrainingSuperseded."""
    if not _held(run).update(**values):
        raise TrainingSuperseded(
            f"{run} a été déclaré mort pendant que son processus ne répondait plus, et ne peut "
            "plus rien enregistrer : reprenez-le."
        )
    _set(run, values)


def _held(
    run: TrainingLog, statut: str = StatutEntrainement.EN_COURS
) -> QuerySet[TrainingLog, TrainingLog]:
    """Its row, for who holds it: each time that it is resumed, it has another holder."""
    return TrainingLog.objects.filter(pk=run.pk, statut=statut, reprises=run.reprises)


def _set(run: TrainingLog, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(run, name, value)


def end(run: TrainingLog, statut: str, erreur: str = "", *, for_good: bool = False) -> None:
    """A run ends once, by who holds it; for good when it is cancelled or would end so again.

    An interruption that comes after its model is active changes nothing.
    """
    _renew_connection()
    values = {"statut": statut, "erreur": erreur, "fin": timezone.now()}
    ended = TrainingLog.objects.filter(pk=run.pk, fin=None, reprises=run.reprises).update(**values)
    run.refresh_from_db(fields=list(values))
    if ended and (for_good or statut == StatutEntrainement.ANNULE):
        discard(run)


def ask_to_stop(run: TrainingLog, *, par: User | None) -> None:
    """One that waits ends at once, one in progress within an epoch. Raises NotStoppable."""
    asked = {"arret_demande_le": timezone.now(), "arret_demande_par": par}
    # Whatever it becomes meanwhile: a worker may be taking it.
    TrainingLog.objects.filter(pk=run.pk, fin=None, arret_demande_le=None).update(**asked)
    run.refresh_from_db()
    if run.fin:
        raise NotStoppable(f"{run} : il n'y a plus rien à annuler.")
    if run.statut == StatutEntrainement.EN_ATTENTE or run.is_dead:
        end(run, StatutEntrainement.ANNULE, "Annulé à la demande.")


# --- What a run learns from, and its checkpoints, on the disk ------------------------------

KEPT_SECONDS = 7 * 86_400
_PREFIX = "entrainement-"


def folder_of(run: TrainingLog) -> Path:
    return Path(settings.ENTRAINEMENTS_DIR, f"{_PREFIX}{run.pk}")


def folders() -> list[Path]:
    """Those that are whole; what killed processes left aside is swept."""
    disk.sweep(settings.ENTRAINEMENTS_DIR)
    found = settings.ENTRAINEMENTS_DIR.glob(f"{_PREFIX}*")
    return sorted(path for path in found if path.is_dir())


def journal_of(run: TrainingLog) -> Path:
    """What the process of its own says, where there is no worker to say it."""
    return folder_of(run).with_suffix(".log")


def discard(run: TrainingLog) -> None:
    """A run that needs its data no more: from now on it cannot be resumed."""
    remove(folder_of(run))


def remove(folder: Path) -> None:
    try:
        disk.remove(folder)
    except OSError as error:
        logger.error("Les données d'entraînement restent dans %s : %s", folder, error)


def sweep_folders() -> None:
    """Nobody resumes a run of last week; one that lives writes in its folder."""
    for path in settings.ENTRAINEMENTS_DIR.glob(f"{_PREFIX}*"):
        if time.time() - path.stat().st_mtime > KEPT_SECONDS:
            remove(path) if path.is_dir() else path.unlink(missing_ok=True)


def is_resumable(run: TrainingLog) -> bool:
    """It stopped before its end, and what it learnt from is still there."""
    stopped = run.statut in {StatutEntrainement.INTERROMPU, StatutEntrainement.ECHOUE}
    return (stopped or run.is_dead) and folder_of(run).is_dir()


def last_resumable() -> TrainingLog | None:
    return next((run for run in TrainingLog.objects.all()[:50] if is_resumable(run)), None)


def reopen(run: TrainingLog) -> None:
    """Let a stopped run wait for its turn again. Raises NotResumable."""
    if not is_resumable(run):
        raise NotResumable(_why_not_resumable(run))
    end(run, StatutEntrainement.INTERROMPU, "Le processus s'est arrêté sans prévenir.")
    values = {
        "statut": StatutEntrainement.EN_ATTENTE,
        "reprises": run.reprises + 1,
        "battement": timezone.now(),
        "fin": None,
        "erreur": "",
        "arret_demande_le": None,
        "arret_demande_par": None,
    }
    stopped = run.statut in {StatutEntrainement.INTERROMPU, StatutEntrainement.ECHOUE}
    if not (stopped and _held(run, run.statut).update(**values)):
        raise NotResumable(f"{run} : il vient de finir, ou d'être repris par quelqu'un d'autre.")
    _set(run, values)


def _why_not_resumable(run: TrainingLog) -> str:
    if run.fin is None:
        return f"{run} : il n'est pas arrêté."
    if run.statut in {StatutEntrainement.TERMINE, StatutEntrainement.ANNULE}:
        return f"{run} : il n'y a rien à reprendre, lancez-en un autre."
    return (
        f"{run} : ses données n'ont pas été gardées (rien n'était encore lu, l'échec se "
        "répéterait, un compte qui s'y trouvait a été effacé, ou trop de jours ont passé). "
        "Lancez-en un autre."
    )


# --- A database that is not always there ---------------------------------------------------


def patiently(write: Callable[[], T]) -> T:
    """A database that is held or restarts, or a bucket away, must not cost the training."""
    for _ in range(PATIENCE_SECONDS // RETRY_SECONDS):
        _renew_connection()
        try:
            return write()
        except (OperationalError, model_files.StorageAway) as error:
            logger.warning("Base ou stockage occupé ou injoignable, nouvel essai : %s", error)
            time.sleep(RETRY_SECONDS)
    return write()


def _renew_connection() -> None:
    """As at the start of a request: a database that restarted since has closed ours."""
    if not connection.in_atomic_block:
        close_old_connections()
