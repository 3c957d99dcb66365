"""Where the files of models are: in ML_MODELS_DIR, or in a bucket that all machines share.

With a bucket, a machine keeps the copy that it serves and no other: in one that nobody looks at,
an account erased elsewhere would stay. Whoever reads, writes or removes a model goes through here.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import Storage, storages
from rest_framework.exceptions import APIException

from apps.recommender.ml import disk
from apps.recommender.ml.errors import CorruptArtifact
from apps.recommender.models import ModelMetadata


class StorageAway(APIException, OSError):
    """The bucket did not answer, or lacks what it should hold; worth another try."""

    status_code = 503
    default_code = "stockage_indisponible"
    wait = 5


def publish(version: str) -> None:
    """Hand a model that was just written here over to the bucket, where there is one."""
    from apps.recommender.ml.artifact import FILES

    if (bucket := _bucket()) is None:
        return
    here = _here(version)
    with _reaching():
        for name in FILES:
            with (here / name).open("rb") as content:
                bucket.save(f"{version}/{name}", File(content))
    disk.remove(here)


def publish_all() -> Iterator[str]:
    """Hand over each registered model of this machine that the bucket lacks."""
    for version in ModelMetadata.objects.order_by("pk").values_list("chemin", flat=True):
        if _bucket() and _here(version).exists() and not _is_published(version):
            publish(version)
            yield version


def exists(version: str) -> bool:
    """Under that name, whole or not."""
    return _here(version).exists() or _is_published(version)


def writers(version: str) -> set[str]:
    """What wrote each copy under that name, whole or not. Raises CorruptArtifact, StorageAway."""
    from apps.recommender.ml import artifact

    found = set()
    if _here(version).exists():
        found.add(artifact.writer_of(_here(version)))
    if _is_published(version):
        with _published_users(version) as copy:
            found.add(artifact.writer_of(copy))
    return found


def versions() -> list[str]:
    """Every model that there is a file of, registered or not."""
    from apps.recommender.ml import artifact

    names = {path.name for path in artifact.folders(settings.ML_MODELS_DIR)}
    if bucket := _bucket():
        with _reaching():
            names.update(bucket.listdir("")[0])
    return sorted(names)


def written_at(version: str) -> float:
    """When its files last changed, in seconds since 1970."""
    from apps.recommender.ml.artifact import USERS

    bucket = _bucket()
    if bucket is None or not _is_published(version):
        return _here(version).stat().st_mtime
    with _reaching():
        return bucket.get_modified_time(f"{version}/{USERS}").timestamp()


@contextmanager
def reading(model: ModelMetadata) -> Iterator[Path]:
    """Its folder, for the block. Raises CorruptArtifact, StorageAway."""
    if _here(model.chemin).exists() or _bucket() is None:
        yield _here(model.chemin)
    else:
        with _downloaded(model) as path:
            yield path


def to_serve(model: ModelMetadata) -> Path:
    """Its folder on this machine, fetched where it lacks or where its users have moved.

    Raises CorruptArtifact, StorageAway.
    """
    from apps.recommender.ml import artifact

    path = _here(model.chemin)
    if _bucket() is None:
        return path
    with _alone_on_this_machine():
        try:
            artifact.verify(path, sha256=model.sha256)
        except CorruptArtifact:
            with _downloaded(model) as fetched:
                disk.remove(path)
                fetched.rename(path)
        if artifact.users_sha256(path) != model.sha256_utilisateurs:
            with _published_users(model.chemin) as fetched:
                artifact.replace_users(path, (fetched / artifact.USERS).read_bytes())
        _keep_only(path)
    return path


def forget_users(version: str, known: Container[int]) -> str:
    """Erase from every copy in reach the rows of all who are not `known`; the SHA-256 of the rest.

    Other machines see it move and fetch it. Two at once would undo each other. Raises
    CorruptArtifact, OSError.
    """
    from apps.recommender.ml import artifact

    here = _here(version)
    if not _is_published(version):
        return artifact.forget_users(here, known)
    with _published_users(version) as copy:
        before = artifact.users_sha256(copy)
        after = artifact.forget_users(copy, known)
        users = copy / artifact.USERS
        if after != before:
            with _reaching(), users.open("rb") as content:
                storages["modeles"].save(f"{version}/{artifact.USERS}", File(content))
        with _alone_on_this_machine():
            if here.exists():
                artifact.replace_users(here, users.read_bytes())
    return after


def knows_user(version: str, user_id: int) -> bool:
    """Raises CorruptArtifact, StorageAway."""
    from apps.recommender.ml import artifact

    if not _is_published(version):
        return artifact.knows_user(_here(version), user_id)
    with _published_users(version) as copy:
        return artifact.knows_user(copy, user_id)


def remove(version: str) -> None:
    """From the bucket and from this machine; others drop theirs with the next model they serve."""
    from apps.recommender.ml.artifact import FILES

    if bucket := _bucket():
        with _reaching():
            # Never whole again from the first on, never out of sight of an erasure until the last.
            for name in reversed(FILES):
                bucket.delete(f"{version}/{name}")
    disk.remove(_here(version))


# --- The bucket ---------------------------------------------------------------------------


def _bucket() -> Storage | None:
    return storages["modeles"] if "modeles" in settings.STORAGES else None


def _is_published(version: str) -> bool:
    if (bucket := _bucket()) is None:
        return False
    from apps.recommender.ml.artifact import USERS

    with _reaching():
        return bucket.exists(f"{version}/{USERS}")


@contextmanager
def _downloaded(model: ModelMetadata) -> Iterator[Path]:
    """A proven copy, in a folder that goes with the block."""
    from apps.recommender.ml import artifact

    def opened(name: str) -> File[bytes]:
        return storages["modeles"].open(f"{model.chemin}/{name}")

    with _aside() as aside:
        with _reaching():
            path = artifact.receive(aside, model.chemin, opened, model.sha256)
        yield path


@contextmanager
def _published_users(version: str) -> Iterator[Path]:
    """A folder with the `users.json` of the bucket alone, which goes with the block."""
    from apps.recommender.ml.artifact import USERS

    with _aside() as aside:
        path = aside / version
        path.mkdir()
        with _reaching(), storages["modeles"].open(f"{version}/{USERS}") as content:
            (path / USERS).write_bytes(content.read())
        yield path


@contextmanager
def _reaching() -> Iterator[None]:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

    faults = (BotoCoreError, ClientError, Boto3Error, RetriesExceededError, S3DownloadFailedError)
    try:
        yield
    except (*faults, FileNotFoundError) as fault:
        raise StorageAway(f"Le stockage des modèles fait défaut : {fault}") from fault


# --- This machine -------------------------------------------------------------------------


def _here(version: str) -> Path:
    return disk.version_path(settings.ML_MODELS_DIR, version)


@contextmanager
def _aside() -> Iterator[Path]:
    settings.ML_MODELS_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=disk.ASIDE, dir=settings.ML_MODELS_DIR) as path:
        yield Path(path)


@contextmanager
def _alone_on_this_machine() -> Iterator[None]:
    """So that processes that all need a model fetch it once; a killed one leaves the lock free."""
    settings.ML_MODELS_DIR.mkdir(parents=True, exist_ok=True)
    with (settings.ML_MODELS_DIR / ".verrou").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep_only(path: Path) -> None:
    """Nothing is dropped that the bucket lacks: it may never have been published."""
    from apps.recommender.ml import artifact

    for other in artifact.folders(settings.ML_MODELS_DIR):
        if other != path and _is_published(other.name):
            disk.remove(other)
