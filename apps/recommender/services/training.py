"""Train a model on what the bank recorded, judge it, keep it, activate it if it deserves it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core.models import User
from apps.recommender import selectors
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.errors import DeviceUnavailable, InvalidVersion, VersionExists
from apps.recommender.models import Declencheur, ModelMetadata, StatutEntrainement, TrainingLog

if TYPE_CHECKING:
    from apps.recommender.ml.artifact import ArtifactInfo
    from apps.recommender.ml.data_loader import Dataset
    from apps.recommender.ml.evaluation import Evaluation

HEARTBEAT_SECONDS = 5

# The errors of someone who asked for what cannot be, not of a run.
UNUSABLE_OPTIONS = (DeviceUnavailable, InvalidVersion, VersionExists)

Progress = Callable[[int, int], None]
Epoch = Callable[[dict[str, Any]], None]


class TrainingInProgress(Exception):
    """Another run holds the one place there is."""


@dataclass(frozen=True)
class Outcome:
    """What a finished run leaves: its log, its model, and the gain that decided."""

    run: TrainingLog
    model: ModelMetadata
    interval: tuple[float, float]

    @property
    def gain(self) -> float:
        return float(
            self.model.metriques["ndcg_at_10"] - self.run.references["popularite"]["ndcg_at_10"]
        )


@dataclass
class _Watch:
    """Writes a run's progress to its row, at most every few seconds between two epochs."""

    run: TrainingLog
    on_epoch: Epoch
    on_step: Progress
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
        self.run.battement = timezone.now()
        self.run.save(update_fields=["battement", *fields])
        self.beaten_at = time.monotonic()


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
    version = version or f"{timezone.now():%Y%m%d-%H%M%S}-{config.architecture}"
    _require_possible(config, version)
    run = _start(config, declencheur, lance_par)
    try:
        return _train(run, config, version, _Watch(run, on_epoch, on_step))
    except KeyboardInterrupt:
        _end(run, StatutEntrainement.ANNULE, "Annulé à la demande.")
        raise
    except BaseException as error:
        _end(run, StatutEntrainement.ECHOUE, str(error) or type(error).__name__)
        raise


def _train(run: TrainingLog, config: TrainingConfig, version: str, watch: _Watch) -> Outcome:
    import torch

    from apps.recommender.ml import artifact, data_loader, trainer
    from apps.recommender.ml.evaluation import evaluate, paired_bootstrap

    torch.set_num_threads(settings.ENTRAINEMENT_FILS)
    interactions = selectors.training_pairs()
    dataset = data_loader.split_by_date(interactions)
    _describe(run, dataset, interactions.fingerprint())

    fitted = trainer.fit(dataset, config, on_epoch=watch.epoch, on_step=watch.step)
    run.meilleure_epoch = fitted.best_epoch
    scores = trainer.model_scores(fitted.model)
    tested = evaluate(scores, dataset, part="test", seed=config.seed, logits=True)
    references = _references(dataset, config)
    interval = paired_bootstrap(
        tested.ndcg_by_user, references["popularite"].ndcg_by_user, seed=config.seed
    )
    run.metriques = tested.metrics | {"intervalle_gain_ndcg_at_10": list(interval)}
    run.references = {name: reference.metrics for name, reference in references.items()}
    run.save()

    # The figures above judge the recipe; what serves has learnt from the latest weeks too.
    best = fitted.history[: fitted.best_epoch]
    everything = data_loader.whole(interactions)
    final = trainer.refit(everything, config, best, on_step=watch.step)
    metadata = {"empreinte_donnees": run.empreinte_donnees, "metriques": run.metriques}
    info = artifact.save(settings.ML_MODELS_DIR, version, final, everything, metadata)
    model = _register(run, config, info)
    return Outcome(run, model, interval)


def _references(dataset: Dataset, config: TrainingConfig) -> dict[str, Evaluation]:
    from apps.recommender.ml.baselines import BASELINES
    from apps.recommender.ml.evaluation import evaluate

    return {
        name: evaluate(build(dataset, seed=config.seed), dataset, part="test", seed=config.seed)
        for name, build in BASELINES.items()
    }


def _require_possible(config: TrainingConfig, version: str) -> None:
    """Refuse at once what would fail after minutes of training."""
    from apps.recommender.ml import artifact, trainer

    trainer.require_device(config.device)
    on_disk = artifact.version_path(settings.ML_MODELS_DIR, version).exists()
    if on_disk or ModelMetadata.objects.filter(version=version).exists():
        raise VersionExists(f"Le modèle {version} existe déjà : choisissez une autre version.")


def _start(config: TrainingConfig, declencheur: str, lance_par: User | None) -> TrainingLog:
    _free_dead_runs()
    try:
        with transaction.atomic():
            return TrainingLog.objects.create(
                statut=StatutEntrainement.EN_COURS,
                declencheur=declencheur,
                lance_par=lance_par,
                hyperparametres=asdict(config),
                epoch_totale=config.epochs,
                hote=socket.gethostname(),
                pid=os.getpid(),
            )
    except IntegrityError:
        running = TrainingLog.objects.filter(statut=StatutEntrainement.EN_COURS).first()
        raise TrainingInProgress(
            f"{running or 'Un entraînement'} depuis {timezone.localtime(running.debut):%H:%M}"
            " : attendez sa fin ou annulez-le."
            if running
            else "Un autre entraînement vient de finir : relancez la commande."
        ) from None


def _free_dead_runs() -> None:
    for run in TrainingLog.objects.filter(statut=StatutEntrainement.EN_COURS):
        if run.is_dead:
            _end(run, StatutEntrainement.INTERROMPU, "Le processus s'est arrêté sans prévenir.")


def _describe(run: TrainingLog, dataset: Dataset, fingerprint: str) -> None:
    run.empreinte_donnees = fingerprint
    run.nb_utilisateurs = dataset.n_users
    run.nb_epreuves = dataset.n_items
    run.nb_interactions = len(dataset.train) + len(dataset.validation) + len(dataset.test)
    run.save()


def _end(run: TrainingLog, statut: str, erreur: str = "") -> None:
    """A run ends once: an interruption that comes after its model is active changes nothing."""
    end = {"statut": statut, "erreur": erreur, "fin": timezone.now()}
    TrainingLog.objects.filter(pk=run.pk, statut=StatutEntrainement.EN_COURS).update(**end)
    run.refresh_from_db(fields=list(end))


@transaction.atomic
def _register(run: TrainingLog, config: TrainingConfig, info: ArtifactInfo) -> ModelMetadata:
    """End the run and add its model, which becomes the active one if it beats popularity."""
    _end(run, StatutEntrainement.TERMINE)
    motif = refusal(run)
    if not motif:
        ModelMetadata.objects.filter(est_actif=True).update(est_actif=False)
    return ModelMetadata.objects.create(
        version=info.version,
        architecture=config.architecture,
        embedding_dim=config.embedding_dim,
        nb_utilisateurs=run.nb_utilisateurs,
        nb_epreuves=run.nb_epreuves,
        chemin=info.version,
        sha256=info.sha256,
        taille_octets=info.size,
        training_log=run,
        metriques=run.metriques,
        eligible=not motif,
        motif_refus=motif,
        est_actif=not motif,
        active_le=None if motif else timezone.now(),
        active_par=None if motif else run.lance_par,
    )


def refusal(run: TrainingLog) -> str:
    """Why the run's model may not serve; empty when it may."""
    ours, popular = run.metriques["ndcg_at_10"], run.references["popularite"]["ndcg_at_10"]
    if ours > popular:
        return ""
    return f"NDCG@10 de {ours:.4f}, pas au-dessus de la popularité ({popular:.4f})."
