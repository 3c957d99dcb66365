import os
import time

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.recommender.models import ModelMetadata, StatutEntrainement, TrainingLog
from apps.recommender.services import activation, pruning, training
from apps.recommender.services.activation import FilesGone, activate, return_to_previous
from apps.recommender.services.pruning import prune
from tests.recommender.conftest import CONFIG, copy_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def models(twins, settings):
    """v1 and v2 served, v2 serves; v3 to v5 are newer and never served."""
    for version in ("v3", "v4", "v5"):
        copy_of(twins["v1"], version)
    return settings.ML_MODELS_DIR


def on_disk(folder):
    return sorted(path.name for path in folder.iterdir())


def with_files():
    rows = ModelMetadata.objects.filter(fichiers_supprimes_le=None)
    return sorted(rows.values_list("version", flat=True))


@pytest.mark.parametrize(
    ("keep", "left"),
    [(0, ["v1", "v2"]), (1, ["v1", "v2", "v5"]), (3, ["v1", "v2", "v3", "v4", "v5"])],
)
def test_the_active_the_previous_and_the_newest_stay(models, keep, left):
    prune(keep=keep)
    assert on_disk(models) == with_files() == left
    assert ModelMetadata.objects.count() == 5


def test_what_is_pruned_cannot_serve_and_says_since_when(models):
    prune(keep=0)
    v3 = ModelMetadata.objects.get(version="v3")
    here = timezone.localtime(v3.fichiers_supprimes_le)  # An hour ahead of UTC.
    with pytest.raises(FilesGone, match=f"supprimés le {here:%d/%m/%Y}"):
        activate(v3, declencheur="commande")
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelMetadata.objects.filter(version="v2").update(fichiers_supprimes_le=timezone.now())


def test_an_activation_that_was_on_its_way_finds_the_files_gone(models, monkeypatch):
    """They were there when it looked, before it had its turn."""
    prove = activation._prove

    def proven_then_pruned(model):
        prove(model)
        ModelMetadata.objects.filter(pk=model.pk).update(fichiers_supprimes_le="2026-01-01T00:00Z")

    monkeypatch.setattr(activation, "_prove", proven_then_pruned)
    with pytest.raises(FilesGone):
        activate(ModelMetadata.objects.get(version="v1"), declencheur="commande")
    assert ModelMetadata.objects.get(est_actif=True).version == "v2"


def test_going_back_still_works_after_pruning(models):
    prune(keep=0)
    assert return_to_previous(declencheur="commande").modele.version == "v1"


def test_a_rehearsal_removes_nothing(models):
    found = prune(keep=0, dry_run=True)
    assert [model.version for model in found.models] == ["v5", "v4", "v3"]
    assert on_disk(models) == with_files() == ["v1", "v2", "v3", "v4", "v5"]


def test_what_a_killed_pruning_left_is_removed_by_the_next(models):
    ModelMetadata.objects.filter(version="v3").update(fichiers_supprimes_le="2026-01-01T00:00Z")
    prune(keep=5)
    assert on_disk(models) == ["v1", "v2", "v4", "v5"]


def age(path):
    day_and_more = time.time() - pruning.ORPHAN_SECONDS - 60
    os.utime(path, (day_and_more, day_and_more))


def orphan(folder, name, *, old=True):
    (folder / name).mkdir()
    (folder / name / "users.json").write_text("{}")
    if old:
        age(folder / name)


def test_a_folder_that_no_row_knows_goes_once_old_and_only_when_asked(models):
    orphan(models, "perdu")
    orphan(models, "neuf", old=False)
    prune(keep=5)
    assert {"perdu", "neuf"} <= set(on_disk(models))
    found = prune(keep=5, unknown=True)
    assert found.orphans == ["perdu"]
    assert found.young == ["neuf"]
    assert "perdu" not in on_disk(models)


def test_what_a_training_is_writing_stays(models):
    orphan(models, "v7")
    TrainingLog.objects.create(statut=StatutEntrainement.EN_COURS, version="v7")
    prune(keep=5, unknown=True)
    assert "v7" in on_disk(models)


def test_what_is_no_model_is_not_ours_to_remove(models):
    (models / "photos").mkdir()
    age(models / "photos")
    prune(keep=5, unknown=True)
    assert "photos" in on_disk(models)


def test_a_training_prunes_as_it_ends(models, settings):
    settings.MODELES_GARDES = 1
    training.train(CONFIG, version="v6")
    assert on_disk(models) == with_files() == ["v2", "v6"]


def test_the_command_says_what_it_does(models, capsys):
    orphan(models, "perdu")
    call_command("prune_models", "--keep=0", "--dry-run")
    said = capsys.readouterr().out
    assert said.count("À supprimer : ") == 4
    assert "perdu, que la base ne connaît pas" in said
    call_command("prune_models", "--keep=0")
    assert "Supprimé : v3 (" in capsys.readouterr().out
    call_command("prune_models", "--keep=0")
    assert capsys.readouterr().out == "Rien à supprimer.\n"


def test_a_disk_that_refuses_is_said(models, monkeypatch):
    def refuse(version):
        raise PermissionError("non")

    monkeypatch.setattr(pruning.model_files, "remove", refuse)
    with pytest.raises(CommandError, match="v3"):
        call_command("prune_models", "--keep=0")
