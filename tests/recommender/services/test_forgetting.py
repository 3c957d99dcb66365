import pytest
from django.core.management import CommandError, call_command

from apps.comptes.services.erasure import erase_account
from apps.core.models import Interaction, User
from apps.recommender import model_store
from apps.recommender.ml import artifact
from apps.recommender.models import ModelMetadata
from apps.recommender.services import training
from apps.recommender.services.forgetting import forget_erased
from tests.recommender.conftest import CONFIG


@pytest.fixture
def models(trained, settings):
    """Two on disk, the second one active."""
    training.train(CONFIG, version="v2")
    return settings.ML_MODELS_DIR


def gone(bank) -> int:
    """A student who was deleted by other means than ours."""
    student = bank.students["MATH"][0]
    number = student.pk
    Interaction.objects.filter(user=student).delete()
    User.objects.filter(pk=number).delete()
    return number


def test_every_model_forgets_not_only_the_one_that_serves(models, bank):
    number = gone(bank)
    assert [artifact.knows_user(path, number) for path in artifact.folders(models)] == [True] * 2
    assert forget_erased() == []
    assert [artifact.knows_user(path, number) for path in artifact.folders(models)] == [False] * 2


def test_where_everybody_is_there_nothing_moves(models):
    before = list(ModelMetadata.objects.order_by("pk").values())
    served = model_store.active_model()
    assert forget_erased() == []
    assert list(ModelMetadata.objects.order_by("pk").values()) == before
    assert model_store.active_model() is served


def test_a_process_killed_between_the_file_and_its_row_is_made_up_for(models, bank):
    served = model_store.active_model()
    number = gone(bank)
    known = set(User.objects.values_list("pk", flat=True))
    artifact.forget_users(models / "v2", known)
    assert model_store.active_model() is served
    forget_erased()
    assert not model_store.active_model().predictor.knows_user(number)


def test_a_damaged_model_holds_up_nobody_and_is_named(
    models, bank, caplog, django_capture_on_commit_callbacks
):
    student = bank.students["MATH"][0]
    number = student.pk
    (models / "v1" / "users.json").write_bytes(b"{}")
    with django_capture_on_commit_callbacks(execute=True):
        erase_account(student)
    assert not User.objects.filter(pk=number).exists()
    assert not artifact.knows_user(models / "v2", number)
    assert "Des comptes effacés restent dans le modèle v1" in caplog.text
    with pytest.raises(CommandError, match=r"v1\. Restaurez"):
        call_command("forget_erased")


def test_the_command_is_silent_when_all_is_forgotten(models, bank, capsys):
    gone(bank)
    call_command("forget_erased")
    assert capsys.readouterr().out == ""
