"""Train a model on what the bank recorded, judge it, keep it, activate it if it deserves it."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.core.models import User
from apps.recommender import selectors
from apps.recommender.interruption import undisturbed
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.errors import (
    DeviceUnavailable,
    InvalidVersion,
    MlError,
    OptionsOutdated,
    PeerLost,
    VersionExists,
)
from apps.recommender.models import (
    Declencheur,
    DeclencheurActivation,
    Etape,
    ModelMetadata,
    StatutEntrainement,
    TrainingLog,
)
from apps.recommender.services import gate, model_files, training_group
from apps.recommender.services.activation import ActiveChanged, activate
from apps.recommender.services.fiche import fiche
from apps.recommender.services.forgetting import forget_erased, forget_runs
from apps.recommender.services.pruning import prune
from apps.recommender.services.training_runs import (
    Epoch,
    Progress,
    TrainingInProgress,
    TrainingStopped,
    TrainingSuperseded,
    Watch,
    discard,
    end,
    folder_of,
    new_run,
    one_turn,
    patiently,
    reopen,
    require_free_place,
    sweep_folders,
    take_place,
    write,
)

if TYPE_CHECKING:
    from apps.recommender.ml.artifact import ArtifactInfo
    from apps.recommender.ml.data_loader import Dataset, Interactions
    from apps.recommender.ml.metadata import Metadata
    from apps.recommender.services.gate import Verdict

logger = logging.getLogger(__name__)

# The errors of someone who asked for what cannot be, not of a run.
UNUSABLE_OPTIONS = (DeviceUnavailable, InvalidVersion, VersionExists)


@dataclass(frozen=True)
class Outcome:
    """What a finished run leaves."""

    run: TrainingLog
    model: ModelMetadata


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
    require_device(config)
    require_free_version(version)
    run = new_run(config, version, declencheur, lance_par)
    take_place(run)
    return _carried_out(Watch(run, on_epoch, on_step))


def train_waiting(
    run: TrainingLog,
    *,
    on_epoch: Epoch = lambda entry: None,
    on_step: Progress = lambda done, total: None,
) -> Outcome:
    """The same for a run that waited for its turn, or is resumed; without a place, it ends."""
    try:
        require_free_place()
        take_place(run)
    except TrainingInProgress as error:
        without_place = StatutEntrainement.INTERROMPU if run.reprises else StatutEntrainement.ANNULE
        end(run, without_place, f"Pas commencé : {error}")
        raise
    return _carried_out(Watch(run, on_epoch, on_step))


def resume(
    run: TrainingLog,
    *,
    on_epoch: Epoch = lambda entry: None,
    on_step: Progress = lambda done, total: None,
) -> Outcome:
    """Go on, here, from where a run stopped, to the weights it would have had."""
    require_free_place()
    with one_turn():
        reopen(run)
    return train_waiting(run, on_epoch=on_epoch, on_step=on_step)


def default_version(config: TrainingConfig) -> str:
    return f"{timezone.localtime():%Y%m%d-%H%M%S}-{config.architecture}"


def _carried_out(watch: Watch) -> Outcome:
    """What a run that has its place does, were its options and its version chosen long ago."""
    run = watch.run
    with _ending(run):
        config = _config_of(run)
        require_device(config)
        _require_own_version(run)
        return _train(run, config, watch)


@contextmanager
def _ending(run: TrainingLog) -> Iterator[None]:
    try:
        yield
    except TrainingSuperseded:
        raise  # The row is another's, and so are the data.
    except (KeyboardInterrupt, TrainingStopped) as stop:
        with undisturbed():
            end(run, StatutEntrainement.ANNULE, str(stop) or "Annulé à la demande.")
        raise
    except BaseException as error:
        would_recur = isinstance(error, MlError) and not isinstance(error, PeerLost)
        said = str(error) or type(error).__name__
        with undisturbed():
            end(run, StatutEntrainement.ECHOUE, said, for_good=would_recur)
        raise
    discard(run)


def _train(run: TrainingLog, config: TrainingConfig, watch: Watch) -> Outcome:
    import numpy as np

    from apps.recommender.ml import artifact, data_loader, pulse
    from apps.recommender.ml.checkpoints import OnDisk
    from apps.recommender.ml.evaluation import evaluate_model, paired_bootstrap
    from apps.recommender.ml.recency import forgetting
    from apps.recommender.ml.registry import evaluate_baselines, of_architecture

    training_group.limit_threads()
    watch.stage(Etape.LECTURE)
    interactions, metadata = _frozen_data(run)
    with pulse.felt(watch.pulse):
        dataset = forgetting(data_loader.split_by_date(interactions, metadata))
        _describe(run, dataset, interactions.fingerprint())
        checkpoints = OnDisk(folder_of(run), _identity(run), on_fault=partial(_tell, run))

        watch.stage(Etape.APPRENTISSAGE)
        training_group.share(folder_of(run), config)
        model = of_architecture(config)
        fitted = checkpoints.named("apprentissage")
        model.fit(dataset, np.random.default_rng(config.seed), watch.epoch, watch.step, fitted)
        watch.stage(Etape.MESURE)
        tested = evaluate_model(model, dataset, seed=config.seed)
        watch.stage(Etape.REFERENCES)
        references = evaluate_baselines(dataset, seed=config.seed)
        interval = paired_bootstrap(
            tested.ndcg_by_user, references["popularite"].ndcg_by_user, seed=config.seed
        )
        measured = {
            "meilleure_epoch": model.best_epoch,
            "metriques": tested.metrics | {"intervalle_gain_ndcg_at_10": list(interval)},
            "references": {name: one.metrics for name, one in references.items()},
        }
        patiently(lambda: write(run, **measured))
        verdict = patiently(partial(gate.judge, model, dataset, run, tested))
        told = patiently(partial(fiche, run, interactions, dataset, tested, references, verdict))

        # The figures above judge the recipe; what serves has learnt from the latest weeks too.
        watch.stage(Etape.FINAL)
        everything = data_loader.whole(interactions, metadata)
        everything = everything.with_half_life(dataset.half_life)
        final = checkpoints.named("final")
        model.fit(everything, np.random.default_rng(config.seed), None, watch.step, final)
    watch.stage(Etape.ECRITURE)
    about = {
        "empreinte_donnees": run.empreinte_donnees,
        # A date to come would keep every later model from being compared.
        "derniere_interaction": min(int(interactions.timestamps.max()), int(run.debut.timestamp())),
        "fiche": told,
    }
    _require_own_version(run)  # Its holder of before may have woken up, and written.
    root, writer = settings.ML_MODELS_DIR, str(run.identifiant)
    info = artifact.save(root, run.version, model, everything, about, writer=writer)
    row = _registered(run, config, info, about, verdict)
    # Who was erased since their past was read is in its files.
    patiently(forget_erased)
    patiently(prune)
    return Outcome(run, row)


def _frozen_data(run: TrainingLog) -> tuple[Interactions, Metadata]:
    """What the run learns from: read once, and the same each time that it is resumed."""
    from pyarrow import ArrowException

    from apps.recommender.ml import snapshot

    folder = folder_of(run)
    sweep_folders()
    if run.reprises:
        # Somebody may have been erased while the run was being killed.
        forget_runs(set(User.objects.values_list("pk", flat=True)))
        try:
            interactions, metadata = snapshot.read(folder)
            fault = _fault_of(run, interactions)
            if not fault:
                return interactions, metadata
        except (OSError, ValueError, ArrowException) as error:
            fault = str(error)
        _tell(run, f"données gardées inutilisables, relues dans la base ({fault})")
    while True:
        snapshot.write(folder, selectors.training_pairs(), selectors.metadata())
        # Somebody may have been erased while it was being read.
        forget_runs(set(User.objects.values_list("pk", flat=True)))
        if folder.is_dir():
            return snapshot.read(folder)


def _fault_of(run: TrainingLog, interactions: Interactions) -> str:
    """Why data kept since the run stopped may not be learnt from; empty when they may."""
    if run.empreinte_donnees not in {"", interactions.fingerprint()}:
        return "elles ont changé"
    consenting = User.objects.filter(is_active=True, personnalisation=True)
    if not set(interactions.user_ids.tolist()) <= set(consenting.values_list("pk", flat=True)):
        return "quelqu'un n'y consent plus"
    return ""


def _config_of(run: TrainingLog) -> TrainingConfig:
    """Raises OptionsOutdated for a run that waited, or was stopped, before an update."""
    try:
        return TrainingConfig(**run.hyperparametres)
    except (TypeError, ValueError) as error:
        raise OptionsOutdated(
            f"Ses réglages ne valent plus pour cette version ({error}) : lancez-en un autre."
        ) from None


def _identity(run: TrainingLog) -> dict[str, object]:
    """What a checkpoint must have been made with to be gone on from."""
    return {"donnees": run.empreinte_donnees, "reglages": run.hyperparametres}


def _tell(run: TrainingLog, fault: str) -> None:
    logger.warning("%s : %s", run, fault)


def require_device(config: TrainingConfig) -> None:
    from apps.recommender.ml import trainer

    trainer.require_device(config.device)


def require_free_version(version: str) -> None:
    """Refuse at once what would fail after minutes of training."""
    if model_files.exists(version) or ModelMetadata.objects.filter(version=version).exists():
        raise VersionExists(f"Le modèle {version} existe déjà : choisissez une autre version.")


def _require_own_version(run: TrainingLog) -> None:
    """What the run wrote before it was killed goes; what anybody else wrote stays, and is refused.

    It has the place, so nobody else is writing it; not so the run of another database.
    """
    registered = ModelMetadata.objects.filter(version=run.version)
    own = run.reprises and model_files.writers(run.version) == {str(run.identifiant)}
    if own and not registered.exists():
        model_files.remove(run.version)
    require_free_version(run.version)


def _describe(run: TrainingLog, dataset: Dataset, fingerprint: str) -> None:
    described = {
        "empreinte_donnees": fingerprint,
        "nb_utilisateurs": dataset.n_users,
        "nb_epreuves": dataset.n_items,
        "nb_interactions": len(dataset.train) + len(dataset.validation) + len(dataset.test),
    }
    patiently(lambda: write(run, **described))


def _registered(
    run: TrainingLog,
    config: TrainingConfig,
    info: ArtifactInfo,
    about: dict[str, Any],
    verdict: Verdict,
) -> ModelMetadata:
    try:
        patiently(partial(model_files.publish, run.version))
        return patiently(partial(_register, run, config, info, about, verdict))
    except (KeyboardInterrupt, TrainingStopped, TrainingSuperseded):
        row = TrainingLog.objects.get(pk=run.pk)
        if row.reprises == run.reprises:  # Else the files are those of who resumed it.
            if row.statut == StatutEntrainement.TERMINE:
                return row.modele  # It was written: only the answer was lost.
            model_files.remove(run.version)
        raise


@transaction.atomic
def _register(
    run: TrainingLog,
    config: TrainingConfig,
    info: ArtifactInfo,
    about: dict[str, Any],
    verdict: Verdict,
) -> ModelMetadata:
    """End the run and add its model, which becomes the active one if the gate lets it in."""
    write(run, statut=StatutEntrainement.TERMINE, fin=timezone.now(), etape="")
    # The row is locked from here on: who asks later is told that there is nothing to stop.
    if TrainingLog.objects.filter(pk=run.pk, arret_demande_le__isnull=False).exists():
        raise TrainingStopped("Annulé à la demande.")
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
        fiche=about["fiche"],
        ndcg_par_etudiant=verdict.measured.ndcg.tolist(),
        derniere_interaction=dt.datetime.fromtimestamp(about["derniere_interaction"], dt.UTC),
        eligible=not verdict.refusal,
        motif_refus=verdict.refusal,
    )
    if model.eligible:
        _activate(model, run, verdict)
    return model


def _activate(model: ModelMetadata, run: TrainingLog, verdict: Verdict) -> None:
    """The verdict compares it with the one that served then: with no other does it hold."""
    try:
        activate(
            model,
            par=run.lance_par,
            declencheur=DeclencheurActivation.ENTRAINEMENT,
            instead_of=verdict.active,
        )
    except ActiveChanged as changed:
        model.eligible, model.motif_refus = False, f"Pas comparé à ce qui sert : {changed}"
        model.save(update_fields=["eligible", "motif_refus"])
