"""The active model of this process: the only door to torch when serving."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.db import DatabaseError

from apps.recommender import selectors
from apps.recommender.models import ModelMetadata
from apps.recommender.services import model_files
from apps.recommender.services.catalogue import catalogue_generation

if TYPE_CHECKING:
    from apps.recommender.ml.content import ContentIndex
    from apps.recommender.ml.predictor import Newcomers, Predictor

logger = logging.getLogger(__name__)

_SEEN = ("version", "chemin", "sha256", "sha256_utilisateurs")
# A model that could not be loaded is tried again: its folder may have been restored, or the bucket
# be back.
RETRY_SECONDS = 30


@dataclass(frozen=True)
class Serving:
    """What this process answers with: a predictor, or none, and whether it is the wanted one."""

    wanted: str | None = None
    predictor: Predictor | None = None

    @property
    def version(self) -> str | None:
        return self.predictor.version if self.predictor else None

    @property
    def degraded(self) -> bool:
        """The active version could not be loaded; an older one, or none, answers."""
        return self.wanted != self.version


class _Wanted(NamedTuple):
    """A version, and the hash of whom it knows."""

    version: str
    users: str


@dataclass
class _State:
    serving: Serving = Serving()
    loaded: _Wanted | None = None
    checked_at: float = float("-inf")
    tried: _Wanted | None = None
    tried_at: float = float("-inf")
    content: tuple[int, ContentIndex] | None = None
    newcomers: tuple[tuple[str, int], Newcomers] | None = None


_state = _State()
_model_lock = threading.Lock()
_content_lock = threading.Lock()


def active_model() -> Serving:
    """Look at the database at most once a period; load a new version once, others go on."""
    if _is_fresh():
        return _state.serving
    # The very first answer waits for the model; later ones do with what there is meanwhile.
    if _model_lock.acquire(blocking=_state.checked_at == float("-inf")):
        try:
            # Another thread may have looked while this one waited.
            if not _is_fresh():
                _refresh()
        finally:
            _model_lock.release()
    return _state.serving


def warm_up() -> None:
    """Pay now for what the first request would wait for; never before a fork, for torch hangs."""
    # Also for a bank without a model: its first one must not wait for torch.
    from apps.recommender.ml import predictor as _  # noqa: F401

    try:
        predictor = active_model().predictor
    except DatabaseError as error:
        logger.warning("Le modèle sera chargé à la première requête : %s", error)
        return
    if predictor:
        predictor.warm_up()


def _is_fresh() -> bool:
    return time.monotonic() - _state.checked_at < settings.MODELE_VERIFICATION_SECONDES


def _refresh() -> None:
    row = ModelMetadata.objects.filter(est_actif=True).only(*_SEEN).first()
    if row is None:
        # Its return is no second try.
        _state.serving, _state.loaded, _state.tried = Serving(), None, None
    else:
        _serve(row)
    _state.checked_at = time.monotonic()


def _serve(row: ModelMetadata) -> None:
    wanted = _Wanted(row.version, row.sha256_utilisateurs)
    if wanted == _state.loaded or not _may_try(wanted):
        return
    _state.tried, _state.tried_at = wanted, time.monotonic()
    if predictor := _load(row):
        _state.loaded = wanted
    _state.serving = Serving(row.version, predictor or _state.serving.predictor)


def _may_try(wanted: _Wanted) -> bool:
    return wanted != _state.tried or time.monotonic() - _state.tried_at > RETRY_SECONDS


def _load(row: ModelMetadata) -> Predictor | None:
    import torch

    from apps.recommender.ml.errors import CorruptArtifact
    from apps.recommender.ml.predictor import Predictor

    # One thread a request: workers and their threads already fill the cores.
    torch.set_num_threads(1)
    try:
        return Predictor.load(model_files.to_serve(row), sha256=row.sha256)
    except (CorruptArtifact, OSError) as error:
        logger.error("Modèle %s inutilisable, l'ancien reste en service : %s", row, error)
        return None


def content_index(*, knowing: int) -> ContentIndex:
    """The texts of the catalogue, fitted again when it changed or when it lacks that épreuve."""
    from apps.recommender.ml.content import ContentIndex

    with _content_lock:
        generation = catalogue_generation()
        if (
            _state.content is None
            or _state.content[0] != generation
            or not _state.content[1].knows(knowing)
        ):
            _state.content = generation, ContentIndex.fit(*selectors.catalogue_texts())
        return _state.content[1]


def newcomers(predictor: Predictor) -> Newcomers:
    """The published épreuves that this model never met, read again when the catalogue changed."""
    with _content_lock:
        key = predictor.version, catalogue_generation()
        if _state.newcomers is None or _state.newcomers[0] != key:
            _state.newcomers = key, predictor.newcomers(*selectors.published_catalogue())
        return _state.newcomers[1]


def reset() -> None:
    """Forget everything, as a new process would."""
    global _state
    with _model_lock, _content_lock:
        _state = _State()
