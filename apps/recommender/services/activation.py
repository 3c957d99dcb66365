"""Which model serves, and the journal of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.utils import timezone

from apps.core.models import User
from apps.recommender.ml.errors import CorruptArtifact
from apps.recommender.models import ActivationModele, ModelMetadata
from apps.recommender.services import model_files

MOTIVE_WORDS = 3


class ActivationRefused(Exception):
    """What is asked cannot be; the active model is as it was."""


class ModelRefused(ActivationRefused):
    """Training judged that this model may not serve, and the caller does not override it."""


class MotiveMissing(ActivationRefused):
    """Overriding a refusal takes a reason in writing."""


class FilesGone(ActivationRefused):
    """The files of this model were pruned."""


class UnusableFiles(ActivationRefused, CorruptArtifact):
    """The files of this model are not those that were written."""


class ActiveChanged(ActivationRefused):
    """Another model serves than the one that the caller saw."""


class NothingBefore(ActivationRefused):
    """The journal knows of no model that served before."""


def activate(
    model: ModelMetadata,
    *,
    declencheur: str,
    par: User | None = None,
    motif: str = "",
    override: bool = False,
    instead_of: str | None = None,
) -> ActivationModele | None:
    """Let this model serve, once its files are proven; None when it was serving already.

    override: though it was refused, for the reason in `motif`. instead_of: the version that must be
    serving still, empty for none. Raises ActivationRefused and StorageAway, which leave the active
    one as it is.
    """
    if not model.est_actif:  # Proving takes a moment, that a refusal saves.
        _require_right(model, motif, override)
    _prove(model)
    with models_locked():
        active = active_model()
        _require_unchanged(active, instead_of)
        if active == model:
            return None
        _require_right(model, motif, override)
        return _switch(active, model, declencheur, par, motif)


def return_to_previous(
    *, declencheur: str, par: User | None = None, motif: str = "", instead_of: str | None = None
) -> ActivationModele:
    """Undo the activation of the active model, down to one that was not refused.

    Raises as `activate`. Going back again goes further back, never to a model that was just left.
    """
    seen = active_model()
    _require_unchanged(seen, instead_of)
    stay = _stay_before(seen)
    if seen is None or stay is None:
        raise NothingBefore("Le journal ne connaît pas de modèle qui servait avant : nommez-en un.")
    model = stay.modele
    _prove(model)
    with models_locked():
        # Proving took a moment: another return may have come first, and two would undo each other.
        active = active_model()
        _require_unchanged(active, seen.version)
        return _switch(active, model, declencheur, par, motif, reprend=stay)


def active_model() -> ModelMetadata | None:
    return ModelMetadata.objects.filter(est_actif=True).select_related("training_log").first()


def previous_model() -> ModelMetadata | None:
    """The one that going back would let serve."""
    stay = _stay_before(active_model())
    return stay.modele if stay else None


def _stay_before(active: ModelMetadata | None) -> ActivationModele | None:
    """Since when the last other model served that training let in, walking the journal back."""
    # In the order of the rows: a clock may have been put back.
    journal = ActivationModele.objects.select_related("modele", "reprend__modele").order_by("-pk")
    stay = _taken_up(journal.filter(modele=active).first()) if active else None
    while stay and (stay.modele == active or not stay.modele.eligible):
        stay = _taken_up(journal.filter(pk__lt=stay.pk).first())
    return stay


def _taken_up(activation: ActivationModele | None) -> ActivationModele | None:
    """The activation whose stay this one is, or goes on with."""
    return (activation.reprend or activation) if activation else None


@contextmanager
def models_locked() -> Iterator[None]:
    """One at a time: whoever changes which models serve, or what is in their files."""
    with transaction.atomic():
        # A row that stays is the lock; SQLite locks all.
        ModelMetadata.objects.select_for_update().order_by("pk").first()
        yield


def _require_right(model: ModelMetadata, motif: str, override: bool) -> None:
    if model.eligible:
        return
    if not override:
        raise ModelRefused(
            f"Le modèle {model} ne peut pas servir : {model.motif_refus} Pour l'activer quand "
            "même, demandez une dérogation et donnez-en le motif."
        )
    words = [word for word in motif.split() if any(letter.isalnum() for letter in word)]
    if len(words) < MOTIVE_WORDS:
        raise MotiveMissing(
            f"Une dérogation demande un motif d'au moins {MOTIVE_WORDS} mots : il reste au journal."
        )


def _prove(model: ModelMetadata) -> None:
    from apps.recommender.ml import artifact

    _require_files(model)
    try:
        with model_files.reading(model) as path:
            artifact.load(path, sha256=model.sha256)
    except CorruptArtifact as error:
        raise UnusableFiles(str(error)) from error


def _require_files(model: ModelMetadata) -> None:
    if gone := model.fichiers_supprimes_le:
        day = f"{timezone.localtime(gone):%d/%m/%Y}"
        raise FilesGone(
            f"Les fichiers du modèle {model} ont été supprimés le {day} pour faire de la place : "
            "il ne peut plus servir. Entraînez-en un autre (train_model)."
        )


def _require_unchanged(active: ModelMetadata | None, instead_of: str | None) -> None:
    serving = active.version if active else ""
    if instead_of not in {None, serving}:
        raise ActiveChanged(
            f"Le modèle actif a changé entre-temps : {serving or 'aucun'} sert, et non plus "
            f"{instead_of or 'aucun'}. Regardez ce qui sert, puis recommencez si vous le voulez."
        )


def _switch(
    active: ModelMetadata | None,
    model: ModelMetadata,
    declencheur: str,
    par: User | None,
    motif: str,
    reprend: ActivationModele | None = None,
) -> ActivationModele:
    model.refresh_from_db(fields=["fichiers_supprimes_le", "eligible", "derogation"])
    _require_files(model)
    overridden = not model.eligible
    if overridden:
        model.derogation = motif
    ModelMetadata.objects.filter(est_actif=True).update(est_actif=False)
    model.est_actif, model.active_le, model.active_par = True, timezone.now(), par
    model.save(update_fields=["est_actif", "active_le", "active_par", "derogation"])
    return ActivationModele.objects.create(
        modele=model,
        precedente=active,
        active_le=model.active_le,
        active_par=par,
        declencheur=declencheur,
        motif=motif,
        derogation=overridden,
        reprend=reprend,
    )
