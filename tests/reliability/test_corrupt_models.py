"""Ten models that must not serve: none can be activated, and none takes the old one's place."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.factories import PASSWORD
from tests.recommender.ml.test_artifact import (
    edit_manifest,
    flip,
    remove,
    replace_weights,
    reseal_users,
    truncate,
    write,
)
from tests.reliability.servers import Bank, Client, Gunicorn, running

pytestmark = pytest.mark.requires("servers")

WEIGHTS, ITEMS, USERS = "weights.safetensors", "items.json", "users.json"
MANIFEST = "manifest.json"


def to_nan(weights: dict[str, torch.Tensor]) -> None:
    weights["model.ials.items"][0, 0] = float("nan")


def other_dim(weights: dict[str, torch.Tensor]) -> None:
    name = "model.ials.items"
    weights[name] = weights[name][:, :4].contiguous()


# What differs from the manifest that the database knows, and what agrees with it but cannot be.
CHANGED: dict[str, Callable[[Path], object]] = {
    "truncated-weights": truncate(WEIGHTS),
    "truncated-manifest": truncate(MANIFEST),
    "flipped-weights": flip(WEIGHTS),
    "flipped-items": flip(ITEMS),
    "flipped-users": flip(USERS),
    "flipped-manifest": flip(MANIFEST),
    "no-manifest": remove(MANIFEST),
    "missing-file": remove(ITEMS),
    "anothers-folder": lambda path: shutil.copytree(path.parent / "v1", path, dirs_exist_ok=True),
}
AGREEING: dict[str, Callable[[Path], object]] = {
    "other-dimensions": lambda path: replace_weights(path, other_dim),
    "not-a-number": lambda path: replace_weights(path, to_nan),
    "newer-format": lambda path: edit_manifest(path, format=3),
    "pickle": lambda path: pickled_weights(path),
}
CORRUPT = [*CHANGED, *AGREEING]


def pickled_weights(path: Path) -> None:
    """A pickle that leaves a mark where it is read, under the name and the hash of the weights."""

    class Payload:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return eval, (f"open({str(path.parent / 'executed')!r}, 'w')",)

    content = pickle.dumps(Payload())
    write(WEIGHTS, content)(path)
    items = hashlib.sha256((path / ITEMS).read_bytes()).hexdigest()
    edit_manifest(path, files={WEIGHTS: hashlib.sha256(content).hexdigest(), ITEMS: items})


def sha256(path: Path) -> str:
    return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()


def copy_of_v1(models: Path, version: str) -> Path:
    """A whole model under another name."""
    path = Path(shutil.copytree(models / "v1", models / version))
    edit_manifest(path, version=version)
    reseal_users(path, version=version)
    return path


# Rows for the copies, as training writes them; what becomes of activating each.
REGISTER = """
import json
from django.contrib.auth.hashers import make_password
from apps.core.models import User
from apps.recommender.ml.errors import CorruptArtifact
from apps.recommender.models import ModelMetadata, TrainingLog
from apps.recommender.services.activation import activate

User.objects.filter(username="etudiant1").update(password=make_password({password!r}))
said = {{}}
for version, sha256 in {hashes}.items():
    run = TrainingLog.objects.create(statut="termine")
    model = ModelMetadata.objects.get(version="v1")
    model.pk, model.version, model.chemin, model.sha256 = None, version, version, sha256
    model.training_log, model.est_actif = run, False
    model.save()
    try:
        activate(model, declencheur="commande")
    except CorruptArtifact as error:
        said[version] = str(error)
active = ModelMetadata.objects.get(est_actif=True).version
activate(ModelMetadata.objects.get(version="v1"), declencheur="commande")
print(json.dumps({{"refused": said, "active": active}}))
"""


@pytest.fixture
def corrupt(school: Bank) -> dict[str, object]:
    """The copies on disk and in the database: what activating each of them said."""
    models, hashes = school.folder / "ml_models", {}
    for version in ["whole", *CORRUPT]:
        path = copy_of_v1(models, version)
        AGREEING.get(version, lambda path: None)(path)
        hashes[version] = sha256(path)
        CHANGED.get(version, lambda path: None)(path)
    return dict(json.loads(school.python(REGISTER.format(password=PASSWORD, hashes=hashes))))


@pytest.fixture
def web(school: Bank) -> Iterator[Gunicorn]:
    """Both workers hold v1, and look at the database with each request."""
    bank = replace(school, variables=school.variables | {"MODELE_VERIFICATION_SECONDES": "0"})
    with running(Gunicorn(school.folder, bank=bank)) as web:
        yield web


def make_active(bank: Bank, version: str) -> None:
    """Past every check, as a restored database or a broken disk would."""
    off = "update recommender_modelmetadata set est_actif = false where est_actif"
    on = "update recommender_modelmetadata set est_actif = true"
    bank.sql(f"{off}; {on} where version = '{version}'")


def what_serves(client: Client, top_k: int) -> tuple[str, str, str, str]:
    status = client.get("/api/recommendations/status/").json
    answer = client.get(f"/api/recommendations/personalized/?top_k={top_k}").json
    return status["statut"], status["version_modele"], answer["version_modele"], answer["source"]


def test_a_corrupt_model_is_refused_and_the_old_one_serves(
    school: Bank, web: Gunicorn, corrupt: dict[str, object]
) -> None:
    assert corrupt["active"] == "whole"
    assert sorted(corrupt["refused"]) == sorted(CORRUPT)
    client = web.client.signed_in("etudiant1", PASSWORD)
    # Never the same question twice: the cache would answer it.
    questions = iter(range(1, 101))
    for version in CORRUPT:
        make_active(school, version)
        served = {what_serves(client, next(questions)) for _ in range(6)}
        assert served == {("degrade", "v1", "v1", "ncf")}, version
    make_active(school, "whole")
    served = {what_serves(client, next(questions)) for _ in range(6)}
    assert served == {("pret", "whole", "whole", "ncf")}
    assert not (school.folder / "ml_models" / "executed").exists()
