import pytest
from django.core.management import CommandError, call_command

from apps.core.models import Epreuve, Interaction, User
from apps.recommender.services.demo_bank import PASSWORD
from tests.factories import EpreuveFactory

pytestmark = pytest.mark.django_db

SMALL = ("--users=20", "--epreuves=30", "--interactions=600")


@pytest.fixture
def debug(settings):
    settings.DEBUG = True


def test_outside_debug_it_refuses_without_force(settings):
    assert not settings.DEBUG
    with pytest.raises(CommandError, match=r"mot de passe public.*--force"):
        call_command("generate_data", *SMALL)
    assert not User.objects.exists()


def test_outside_debug_force_works_and_warns(capsys):
    call_command("generate_data", *SMALL, "--force")
    assert Interaction.objects.count() == 600
    assert f"« {PASSWORD} » est public" in capsys.readouterr().err


def test_it_prints_exact_counts_and_the_next_command(debug, capsys):
    call_command("generate_data", *SMALL)
    captured = capsys.readouterr()
    assert "20 étudiants, 10 enseignants, 1 administrateur." in captured.out
    assert "30 épreuves publiées avec leur PDF, 15 corrigés." in captured.out
    assert f"{Interaction.objects.filter(type_interaction='vue').count()} vues" in captured.out
    assert "600 interactions" in captured.out
    assert "manage.py train_model" in captured.out
    assert "30/30" in captured.err
    assert "Attention" not in captured.err


def test_a_kept_admin_is_told(debug, capsys):
    User.objects.create_superuser("admin", password="x")
    call_command("generate_data", *SMALL)
    assert "le compte admin gardé tel quel" in capsys.readouterr().out


def test_at_verbosity_0_it_is_silent(debug, capsys):
    call_command("generate_data", *SMALL, verbosity=0)
    assert capsys.readouterr() == ("", "")


def test_a_filled_bank_needs_reset(debug):
    call_command("generate_data", *SMALL, verbosity=0)
    with pytest.raises(CommandError, match=r"épreuves : 30.*--reset"):
        call_command("generate_data", *SMALL)
    call_command("generate_data", *SMALL, "--reset", "--seed=43", verbosity=0)
    assert Interaction.objects.count() == 600


def test_reset_refuses_beside_real_rows_without_force_and_keeps_them_with_it(debug, awa):
    mine = EpreuveFactory(depose_par=awa)
    with pytest.raises(CommandError, match=r"comptes : 1, épreuves : 1.*--force"):
        call_command("generate_data", *SMALL, "--reset")
    call_command("generate_data", *SMALL, "--reset", "--force", verbosity=0)
    assert set(Epreuve.objects.filter(depose_par=awa)) == {mine}


def test_impossible_numbers_are_one_sentence(debug):
    with pytest.raises(CommandError, match="demandez-en de 400 à 8000"):
        call_command("generate_data", "--users=20", "--epreuves=30", "--interactions=1")


def test_an_unwritable_folder_is_one_sentence(debug, settings, tmp_path):
    (tmp_path / "media").write_text("a file where the folder should be")
    with pytest.raises(CommandError, match="rien n'a changé"):
        call_command("generate_data", *SMALL, verbosity=0)
    assert not User.objects.exists()


def test_help_says_what_reset_spares(capsys):
    with pytest.raises(SystemExit):
        call_command("generate_data", "--help")
    help_text = capsys.readouterr().out
    for word in (
        "--users",
        "--epreuves",
        "--interactions",
        "--seed",
        "--reset",
        "--force",
        "DEMO-",
    ):
        assert word in help_text
