import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.recommender.models import ActivationModele, ModelMetadata

pytestmark = pytest.mark.django_db


def exit_code(*args: str) -> int:
    with pytest.raises(CommandError) as error:
        call_command("activate_model", *args)
    return error.value.returncode


def active():
    return ModelMetadata.objects.get(est_actif=True).version


@pytest.mark.usefixtures("twins")
def test_a_version_serves_again_and_the_journal_says_why(capsys):
    call_command("activate_model", "v1", "--motif=v2 se répète")
    assert capsys.readouterr().out == "Modèle v1 actif, à la place de v2.\n"
    row = ActivationModele.objects.first()
    assert (row.modele.version, row.declencheur, row.motif) == ("v1", "commande", "v2 se répète")
    assert active() == "v1"


@pytest.mark.usefixtures("twins")
def test_previous_needs_no_name():
    call_command("activate_model", "--previous")
    assert active() == "v1"


@pytest.mark.usefixtures("twins")
def test_the_active_one_is_said_to_be_active(capsys):
    call_command("activate_model", "v2")
    assert "déjà actif" in capsys.readouterr().out


@pytest.mark.usefixtures("twins")
def test_the_list_shows_which_one_serves(capsys):
    ModelMetadata.objects.filter(version="v1").update(eligible=False)
    call_command("activate_model", "--list")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("v2 ")
    assert first.endswith("actif")
    assert second.endswith("refusé")


def test_nothing_before_the_first_one_is_2(trained):
    assert exit_code("--previous") == 2


def test_an_unknown_version_is_2(trained):
    assert exit_code("v7") == 2


@pytest.mark.usefixtures("twins")
def test_files_that_are_gone_are_3(settings):
    (settings.ML_MODELS_DIR / "v1" / "manifest.json").unlink()
    assert exit_code("v1") == 3
    assert active() == "v2"


@pytest.mark.usefixtures("twins")
def test_a_refused_model_is_4():
    ModelMetadata.objects.filter(version="v1").update(eligible=False, motif_refus="Trop faible.")
    assert exit_code("v1") == 4
    assert active() == "v2"


@pytest.mark.usefixtures("twins")
def test_a_refused_model_serves_by_override_and_says_why(capsys):
    ModelMetadata.objects.filter(version="v1").update(eligible=False, motif_refus="Trop faible.")
    assert exit_code("v1", "--override") == 4
    call_command("activate_model", "v1", "--override", "--motif=v2 oublie les L1")
    assert active() == "v1"
    assert ActivationModele.objects.first().derogation
    call_command("activate_model", "--list")
    assert capsys.readouterr().out.splitlines()[-1].endswith("actif")


@pytest.mark.usefixtures("twins")
def test_files_that_were_pruned_are_3(capsys):
    ModelMetadata.objects.filter(version="v1").update(fichiers_supprimes_le=timezone.now())
    assert exit_code("v1") == exit_code("--previous") == 3
    call_command("activate_model", "--list")
    assert capsys.readouterr().out.splitlines()[-1].endswith("fichiers supprimés")
