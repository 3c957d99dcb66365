"""Train a model on what the bank recorded, judge it, keep it, activate it if it deserves it."""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db import (
    IntegrityError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)
from django.utils import timezone

from apps.core.models import User
from apps.recommender import selectors
from apps.recommender.ml import disk
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.errors import DeviceUnavailable, InvalidVersion, VersionExists
from apps.recommender.models import (
    Declencheur,
    DeclencheurActivation,
    ModelMetadata,
    StatutEntrainement,
    TrainingLog,
)
from apps.recommender.services import model_files
from apps.recommender.services.activation import activate
from apps.recommender.services.forgetting import forget_erased

if TYPE_CHECKING:
    from apps.recommender.ml.artifact import ArtifactInfo
    from apps.recommender.ml.data_loader import Dataset

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5
# For so long, and so often, a write is tried again when the database is away or locked.
PATIENCE_SECONDS, RETRY_SECONDS = 300, 5

# The errors of someone who asked for what cannot be, not of a run.
UNUSABLE_OPTIONS = (DeviceUnavailable, InvalidVersion, VersionExists)

T = TypeVar("T")
Progress = Callable[[int, int], None]
Epoch = Callable[[dict[str, Any]], None]


class TrainingInProgress(Exception):
    """Another run holds the one place there is."""


@dataclass(frozen=True)
class Outcome:
    """What a finished run leaves."""

    run: TrainingLog
    model: ModelMetadata


@dataclass
class _Watch:
    """Writes a run's progress to its row, at most every few seconds between two epochs."""

    run: TrainingLog
    on_epoch: Epoch = lambda entry: None
    on_step: Progress = lambda done, total: None
    beaten_at: float = field(default_factory=time.monotonic)

    def epoch(self, entry: dict[str, Any]) -> None:
        self.run.historique.append(entry)
        self.run.epoch_courante = entry["epoch"]
        self._beat("historique", "epoch_courante")
        self.on_epoch(entry)

    def step(self, done: int, total: int) -> None:
        if time.monotonic() - self.beaten_at > HEARTBEAT_SECONDS:
            self._beat()
        self.on_step(done, total)

    def _beat(self, *fields: str) -> None:
        """A database that is away for a moment costs a beat, not the hours of a training."""
        self.run.battement = timezone.now()
        self.beaten_at = time.monotonic()
        _renew_connection()
        try:
            self.run.save(update_fields=["battement", *fields])
        except OperationalError as error:
            logger.warning("%s : avancement non écrit : %s", self.run, error)


def train(
    config: TrainingConfig,
    *,
    version: str = "",
    declencheur: str = Declencheur.COMMANDE,
    lance_par: User | None = None,
    on_epoch: Epoch = lambda entry: None,
    on_step: Progress = lambda done, total: None,
) -> Outcome:
    """Run the whole pipeline; whatever happens, the row of the run says how it ended."""
    version = version or default_version(config)
    require_free_place()
    _require_device(config)
    require_free_version(version)
    run = new_run(config, version, declencheur, lance_par)
    _take_place(run)
    with _ending(run):
        return _train(run, config, _Watch(run, on_epoch, on_step))


def train_waiting(run: TrainingLog) -> Outcome:
    """The same for a run that waited for a worker; without a place, it ends cancelled."""
    try:
        require_free_place()
        _take_place(run)
    except TrainingInProgress as error:
        end(run, StatutEntrainement.ANNULE, f"Pas commencé : {error}")
        raise
    with _ending(run):
        config = TrainingConfig(**run.hyperparametres)
        _require_device(config)
        require_free_version(run.version)
        return _train(run, config, _Watch(run))


def default_version(config: TrainingConfig) -> str:
    return f"{timezone.now():%Y%m%d-%H%M%S}-{config.architecture}"


def snapshot_path(run: TrainingLog) -> Path:
    """The folder of what the run learns from."""
    return settings.ENTRAINEMENTS_DIR / f"entrainement-{run.pk}"


@contextmanager
def _ending(run: TrainingLog) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        end(run, StatutEntrainement.ANNULE, str(stop) or "Annulé à la demande.")
        raise
    except BaseException as error:
        end(run, StatutEntrainement.ECHOUE, str(error) or type(error).__name__)
        raise
    finally:
        disk.remove(snapshot_path(run))


def _train(run: TrainingLog, config: TrainingConfig, watch: _Watch) -> Outcome:
    import numpy as np
    import torch
    from threadpoolctl import threadpool_limits

    from apps.recommender.ml import artifact, data_loader, snapshot
    from apps.recommender.ml.evaluation import evaluate_model, paired_bootstrap
    from apps.recommender.ml.recency import forgetting
    from apps.recommender.ml.registry import evaluate_baselines, of_architecture

    # torch's and BLAS's: in another number they add up in another order, to other weights.
    torch.set_num_threads(settings.ENTRAINEMENT_FILS)
    threadpool_limits(settings.ENTRAINEMENT_FILS)
    snapshot.write(snapshot_path(run), selectors.training_pairs(), selectors.metadata())
    interactions, metadata = snapshot.read(snapshot_path(run))
    dataset = forgetting(data_loader.split_by_date(interactions, metadata))
    _describe(run, dataset, interactions.fingerprint())

    model = of_architecture(config)
    model.fit(dataset, np.random.default_rng(config.seed), watch.epoch, watch.step)
    run.meilleure_epoch = model.best_epoch
    tested = evaluate_model(model, dataset, seed=config.seed)
    references = evaluate_baselines(dataset, seed=config.seed)
    interval = paired_bootstrap(
        tested.ndcg_by_user, references["popularite"].ndcg_by_user, seed=config.seed
    )
    run.metriques = tested.metrics | {"intervalle_gain_ndcg_at_10": list(interval)}
    run.references = {name: reference.metrics for name, reference in references.items()}
    _patiently(run.save)

    # The figures above judge the recipe; what serves has learnt from the latest weeks too.
    everything = data_loader.whole(interactions, metadata)
    everything = everything.with_half_life(dataset.half_life)
    model.fit(everything, np.random.default_rng(config.seed), on_step=watch.step)
    about = {
        "empreinte_donnees": run.empreinte_donnees,
        "derniere_interaction": int(interactions.timestamps.max()),
        "metriques": run.metriques,
    }
    info = artifact.save(settings.ML_MODELS_DIR, run.version, model, everything, about)
    _patiently(partial(model_files.publish, run.version))
    row = _patiently(partial(_register, run, config, info, about["derniere_interaction"]))
    # Who was erased since their past was read is in its files.
    _patiently(forget_erased)
    return Outcome(run, row)


def _require_device(config: TrainingConfig) -> None:
    from apps.recommender.ml import trainer

    trainer.require_device(config.device)


def require_free_version(version: str) -> None:
    """Refuse at once what would fail after minutes of training."""
    if model_files.exists(version) or ModelMetadata.objects.filter(version=version).exists():
        raise VersionExists(f"Le modèle {version} existe déjà : choisissez une autre version.")


def require_free_place() -> None:
    """Refuse while a run lives; end the one whose process died."""
    for run in TrainingLog.objects.filter(statut=StatutEntrainement.EN_COURS):
        if not run.is_dead:
            raise TrainingInProgress(
                f"{run} depuis {timezone.localtime(run.debut):%H:%M}"
                " : attendez sa fin ou annulez-le."
            )
        end(run, StatutEntrainement.INTERROMPU, "Le processus s'est arrêté sans prévenir.")


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


def _take_place(run: TrainingLog) -> None:
    run.statut = StatutEntrainement.EN_COURS
    run.debut = run.battement = timezone.now()
    run.hote, run.pid = socket.gethostname(), os.getpid()
    try:
        _patiently(transaction.atomic(run.save))
    except IntegrityError:
        raise TrainingInProgress(
            "Un autre entraînement vient de commencer : attendez sa fin ou annulez-le."
        ) from None


def _describe(run: TrainingLog, dataset: Dataset, fingerprint: str) -> None:
    run.empreinte_donnees = fingerprint
    run.nb_utilisateurs = dataset.n_users
    run.nb_epreuves = dataset.n_items
    run.nb_interactions = len(dataset.train) + len(dataset.validation) + len(dataset.test)
    _patiently(run.save)


def end(run: TrainingLog, statut: str, erreur: str = "") -> None:
    """A run ends once: an interruption that comes after its model is active changes nothing."""
    _renew_connection()
    end = {"statut": statut, "erreur": erreur, "fin": timezone.now()}
    TrainingLog.objects.filter(pk=run.pk, fin=None).update(**end)
    run.refresh_from_db(fields=list(end))


def _patiently(write: Callable[[], T]) -> T:
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


@transaction.atomic
def _register(
    run: TrainingLog, config: TrainingConfig, info: ArtifactInfo, newest: int
) -> ModelMetadata:
    """End the run and add its model, which becomes the active one if it beats popularity."""
    end(run, StatutEntrainement.TERMINE)
    motif = refusal(run)
    model = ModelMetadata.objects.create(
        version=info.version,
        architecture=config.architecture,
        embedding_dim=config.embedding_dim,
        nb_utilisateurs=run.nb_utilisateurs,
        nb_epreuves=run.nb_epreuves,
        chemin=info.version,
        sha256=info.sha256,
        sha256_utilisateurs=info.users_sha256,
        taille_octets=info.size,
        training_log=run,
        metriques=run.metriques,
        derniere_interaction=dt.datetime.fromtimestamp(newest, dt.UTC),
        eligible=not motif,
        motif_refus=motif,
    )
    if model.eligible:
        activate(model, par=run.lance_par, declencheur=DeclencheurActivation.ENTRAINEMENT)
    return model


def refusal(run: TrainingLog) -> str:
    """Why the run's model may not serve; empty when it may."""
    ours, popular = run.metriques["ndcg_at_10"], run.references["popularite"]["ndcg_at_10"]
    if ours > popular:
        return ""
    return f"NDCG@10 de {ours:.4f}, pas au-dessus de la popularité ({popular:.4f})."
