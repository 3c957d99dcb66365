"""A model on disk: a folder of its own that is either whole and as written, or refused.

    <version>/weights.safetensors   the arrays
    <version>/items.json            outside ids of the item rows
    <version>/users.json            outside ids of the user rows, null once erased; who wrote it
    <version>/manifest.json         format, architecture, values, SHA-256 of weights and items

The two files that people or accounts concern are sealed: they carry the SHA-256 of their own
content. The manifest does not name the hash of `users.json`, so that erasing an account rewrites
that file alone. Nothing here can run code on loading: safetensors and JSON only.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Container
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from apps.recommender.ml import disk, registry
from apps.recommender.ml.confidence import Confidence
from apps.recommender.ml.data_loader import Dataset, IntArray
from apps.recommender.ml.errors import (
    CorruptArtifact,
    UnknownArchitecture,
    UnknownModel,
    VersionExists,
)
from apps.recommender.ml.model import Servable
from apps.recommender.ml.placement import Placement

FORMAT = 2
WEIGHTS, ITEMS, USERS = "weights.safetensors", "items.json", "users.json"
MANIFEST = "manifest.json"
# In the order in which they are to be copied: whom one knows first, and last what makes it whole.
FILES = (USERS, WEIGHTS, ITEMS, MANIFEST)
ERASED = -1  # in `user_ids`, the row of an erased account

Opener = Callable[[str], AbstractContextManager[IO[bytes]]]

_FAULTS = (*disk.FAULTS, UnknownArchitecture, UnknownModel)


class ArtifactInfo(NamedTuple):
    """Where a model was written, and the SHA-256 of its manifest and of its users.

    size is in bytes, all files together.
    """

    version: str
    path: Path
    sha256: str
    users_sha256: str
    size: int


class Artifact(NamedTuple):
    """A verified model; user_ids int64[n_users] (ERASED where erased), item_ids int64[n_items].

    confidence: what a student's pairs weigh. placement: where new items go, None where nothing is
    known of any.
    """

    model: Servable
    user_ids: IntArray
    item_ids: IntArray
    confidence: Confidence
    placement: Placement | None
    manifest: dict[str, Any]


def save(
    root: Path,
    version: str,
    model: Servable,
    dataset: Dataset,
    metadata: dict[str, Any],
    *,
    writer: str = "",
) -> ArtifactInfo:
    """Write the model aside in `root`, flush it to the disk, then rename it into place.

    Nothing is left behind by a failure; what a killed process left is swept by a later save.
    writer: what `writer_of` is to say.
    Raises InvalidVersion, VersionExists, OSError.
    """
    path = disk.version_path(root, version)
    files = _contents(version, model, dataset, metadata, writer)
    root.mkdir(parents=True, exist_ok=True)
    try:
        with disk.whole_folder(path) as aside:
            for name, content in files.items():
                (aside / name).write_bytes(content)
    except FileExistsError:
        raise VersionExists(
            f"Le modèle {path.name} existe déjà : choisissez une autre version."
        ) from None
    size = sum(len(content) for content in files.values())
    return ArtifactInfo(version, path, _sha256(files[MANIFEST]), _sha256(files[USERS]), size)


def receive(root: Path, version: str, opened: Opener, sha256: str) -> Path:
    """Copy a model from elsewhere, as `save` writes one, once all its bytes are proven; its folder.

    opened: gives a file of the model by its name. sha256: of the manifest. Raises CorruptArtifact,
    FileExistsError, OSError, and what `opened` raises.
    """
    path = disk.version_path(root, version)
    with disk.whole_folder(path) as aside:
        for name in FILES:
            with opened(name) as content, (aside / name).open("wb") as file:
                shutil.copyfileobj(content, file, 1024 * 1024)
        _verify(aside, version, sha256)
    return path


def verify(path: Path, *, sha256: str) -> None:
    """Are these the bytes that were written? Raises CorruptArtifact; builds no model."""
    _verify(path, path.name, sha256)


def _verify(path: Path, version: str, sha256: str) -> None:
    try:
        _proven(path, version, sha256)
    except _FAULTS as fault:
        raise _corrupt(version, fault) from fault


def load(path: Path, *, sha256: str | None = None) -> Artifact:
    """Read a model and verify all of it; `sha256` is the one of its manifest, where it is known.

    Raises CorruptArtifact, and nothing else, whatever is wrong with the files.
    """
    try:
        return _load(path, sha256)
    except _FAULTS as fault:
        raise _corrupt(path.name, fault) from fault


def _corrupt(version: str, fault: Exception) -> CorruptArtifact:
    what = " ".join(str(fault).split())  # torch and the JSON reader like several lines
    return CorruptArtifact(
        f"Le modèle {version} est inutilisable ({what}). Restaurez son dossier depuis une "
        "sauvegarde ou entraînez-en un autre (train_model)."
    )


def folders(root: Path) -> list[Path]:
    """Every model there is, registered or not; what killed processes left is swept."""
    disk.sweep(root)
    paths = (file.parent for file in root.glob(f"*/{USERS}"))
    return sorted(path for path in paths if not path.name.startswith("."))


def knows_user(path: Path, user_id: int) -> bool:
    """Does `users.json` name this person? Raises CorruptArtifact."""
    return user_id in _read_users(path)["user_ids"]


def writer_of(path: Path) -> str:
    """What `save` was told; empty for a model of before. Raises CorruptArtifact."""
    return str(_read_users(path).get("writer", ""))


def users_sha256(path: Path) -> str:
    """Raises OSError."""
    return _sha256((path / USERS).read_bytes())


def forget_users(path: Path, known: Container[int]) -> str:
    """Erase from `users.json`, alone, the rows of all who are not `known`; the file's SHA-256.

    Two at once would undo each other. Raises CorruptArtifact, OSError.
    """
    disk.aside_of(path / USERS).unlink(missing_ok=True)  # It names them.
    users = _read_users(path)
    kept = [user_id if user_id in known else None for user_id in users["user_ids"]]
    content = _sealed({**users, "user_ids": kept})
    if kept != users["user_ids"]:
        disk.replace_file(path / USERS, content)
    return _sha256(content)


def replace_users(path: Path, content: bytes) -> None:
    """Take the `users.json` of another copy. Raises CorruptArtifact where it is none of this model.

    Two at once would undo each other.
    """
    try:
        _users_in(content, path.name)
    except _FAULTS as fault:
        raise _corrupt(path.name, fault) from fault
    disk.replace_file(path / USERS, content)


def _read_users(path: Path) -> dict[str, Any]:
    try:
        return _users_in((path / USERS).read_bytes(), path.name)
    except _FAULTS as fault:
        raise _corrupt(path.name, fault) from fault


def _users_in(raw: bytes, version: str) -> dict[str, Any]:
    users = _unsealed(raw, USERS)
    _require(users["version"] == version, f"{USERS} est celui d'une autre version")
    return users


def _contents(
    version: str, model: Servable, dataset: Dataset, metadata: dict[str, Any], writer: str
) -> dict[str, bytes]:
    placement = Placement.fit(dataset)
    arrays, values, place_values = _tensors(model, placement)
    files = {
        WEIGHTS: write_tensors({name: np.ascontiguousarray(one) for name, one in arrays.items()}),
        ITEMS: _canonical({"item_ids": dataset.item_ids.tolist()}),
    }
    manifest = {
        "format": FORMAT,
        "version": version,
        "architecture": model.name,
        "n_users": dataset.n_users,
        "n_items": dataset.n_items,
        "model": values,
        "placement": place_values,
        "confidence": vars(dataset.confidence),
        "files": {name: _sha256(content) for name, content in files.items()},
        "metadata": metadata,
    }
    return {**files, USERS: _users(version, dataset.user_ids, writer), MANIFEST: _sealed(manifest)}


def _tensors(
    model: Servable, placement: Placement | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """All arrays by name, the values of the model and those of the placement."""
    arrays, values = model.tensors()
    placed, place_values = placement.tensors() if placement else ({}, None)
    named = {f"model.{name}": array for name, array in arrays.items()}
    named |= {f"placement.{name}": array for name, array in placed.items()}
    return named, values, place_values


class _Proven(NamedTuple):
    manifest: dict[str, Any]
    weights: bytes
    items: bytes
    users: dict[str, Any]


def _proven(path: Path, version: str, sha256: str | None) -> _Proven:
    raw = (path / MANIFEST).read_bytes()
    _require(sha256 in {None, _sha256(raw)}, "le manifeste n'est pas celui qui a été enregistré")
    manifest = _unsealed(raw, MANIFEST)
    _require(manifest["format"] == FORMAT, f"format {manifest['format']}, {FORMAT} attendu")
    _require(manifest["version"] == version, "le manifeste est celui d'une autre version")
    weights, items = (_verified(path, manifest, name) for name in (WEIGHTS, ITEMS))
    return _Proven(manifest, weights, items, _users_in((path / USERS).read_bytes(), version))


def _load(path: Path, sha256: str | None) -> Artifact:
    manifest, weights, items, users = _proven(path, path.name, sha256)
    rows = [ERASED if user_id is None else user_id for user_id in users["user_ids"]]
    # The ids first: they bound the sizes that the model is built with.
    user_ids = _ids(rows, manifest["n_users"])
    item_ids = _ids(json.loads(items)["item_ids"], manifest["n_items"])
    return _artifact(manifest, weights, user_ids, item_ids)


def _artifact(
    manifest: dict[str, Any], weights: bytes, user_ids: IntArray, item_ids: IntArray
) -> Artifact:
    arrays = read_tensors(weights)
    for name, array in arrays.items():
        _require(array.dtype in _TYPES, f"{name} est en {array.dtype}")
        _require(bool(np.isfinite(array).all()), f"{name} contient des valeurs indéfinies")
        array.flags.writeable = False
    model = registry.restore(manifest["architecture"], _under("model.", arrays), manifest["model"])
    _require(model.n_items == len(item_ids), "les poids ne sont pas de ces épreuves")
    placement = None
    if manifest["placement"] is not None:
        placement = Placement.restored(_under("placement.", arrays), manifest["placement"])
    known = _tensors(model, placement)[0]
    _require(arrays.keys() == known.keys(), "des poids sont en trop")
    _require(_can_score(model, len(user_ids)), "les poids ne donnent aucun score")
    confidence = Confidence(**manifest["confidence"])
    return Artifact(model, user_ids, item_ids, confidence, placement, manifest)


def _can_score(model: Servable, n_users: int) -> bool:
    """Its parts agree in their sizes: the last student, and one who took the last épreuve."""
    user_idx = None if model.by_history else n_users - 1
    scores = model.scores(np.array([model.n_items - 1]), np.ones(1, np.float32), user_idx)
    return scores.shape == (model.n_items,) and bool(np.isfinite(scores).all())


_TYPES = (np.float32, np.int64)


def _under(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)
    }


def _verified(path: Path, manifest: dict[str, Any], name: str) -> bytes:
    content = (path / name).read_bytes()
    _require(_sha256(content) == manifest["files"][name], f"{name} a changé depuis son écriture")
    return content


def _ids(ids: list[int], n: int) -> IntArray:
    _require(len(ids) == n, f"{len(ids)} identifiants pour {n} lignes")
    _require(all(type(one) is int for one in ids), "un identifiant n'est pas un entier")
    return np.array(ids, dtype=np.int64)


def _users(version: str, user_ids: IntArray, writer: str) -> bytes:
    """With the writer, which the manifest of a model that is half in a bucket could not say."""
    ids = [None if user_id == ERASED else user_id for user_id in user_ids.tolist()]
    return _sealed({"version": version, "writer": writer, "user_ids": ids})


def _sealed(content: dict[str, Any]) -> bytes:
    return _canonical({**content, "sha256": _sha256(_canonical(content))})


def _unsealed(raw: bytes, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(raw)
    content.pop("sha256")
    # Compared as bytes: a change that leaves the JSON's meaning alone is a change too.
    _require(_sealed(content) == raw, f"{name} a changé depuis son écriture")
    return content


def _canonical(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _require(valid: bool, fault: str) -> None:
    if not valid:
        raise ValueError(fault)
