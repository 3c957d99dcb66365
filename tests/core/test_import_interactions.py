from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.core.models import (
    Contexte,
    Epreuve,
    Evaluation,
    Favori,
    Interaction,
    Matiere,
    Statut,
    User,
)
from apps.core.services import imports
from apps.core.services.favoris import remove_favori
from apps.recommender.services.catalogue import catalogue_generation
from tests.factories import EpreuveFactory, EvaluationFactory

pytestmark = pytest.mark.django_db

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "ml-100k"

LOG = """user_id:token\titem_id:token\ttimestamp:float
7\tA1\t881250949
7\tA1\t881250950
8\tB2\t881250949
"""
CATALOGUE = """item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq
A1\tToy "Story"\t1995\tAnimation Comedy
B2\tSans date\tunknown\tDrama
C3\tJamais vue\t1996\tDrama
"""


@pytest.fixture
def write(tmp_path):
    def _write(text: str, name: str = "log.inter") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return _write


def run(capsys, *args: str, **options) -> str:
    call_command("import_interactions", *args, verbosity=0, **options)
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_a_typed_log_comes_in_with_its_titles_years_and_subjects(write, capsys):
    out = run(
        capsys,
        write(LOG),
        "--create-missing",
        "--user-prefix=ml-",
        "--epreuves",
        write(CATALOGUE, "catalogue.item"),
    )

    assert "3 lues, 2 importées, 1 repliées, 0 refusées ; 2 personnes et 3 épreuves créées" in out
    toy = Epreuve.objects.get(reference_externe="A1")
    assert (toy.titre, toy.annee, toy.matiere.nom) == ('Toy "Story"', 1995, "Animation")
    assert (toy.statut, toy.nb_vues, bool(toy.fichier)) == (Statut.PUBLIEE, 1, False)
    assert Epreuve.objects.published().matching("toy comedy").get() == toy
    assert Epreuve.objects.get(reference_externe="B2").annee is None


def test_original_dates_are_kept(write, capsys):
    run(capsys, write(LOG), "--create-missing")
    row = Interaction.objects.get(user__username="8")
    assert row.date.timestamp() == 881250949
    assert (row.type_interaction, row.contexte) == ("vue", Contexte.IMPORT)


def test_imported_people_cannot_log_in_before_someone_gives_them_a_password(write, capsys):
    run(capsys, write(LOG), "--create-missing")
    assert not any(user.has_usable_password() for user in User.objects.all())


def test_the_same_file_twice_adds_nothing(write, capsys):
    path = write(LOG)
    run(capsys, path, "--create-missing")
    assert "0 importées, 3 repliées" in run(capsys, path, "--create-missing")
    assert Epreuve.objects.get(reference_externe="A1").nb_vues == 1


def test_lines_that_name_nobody_are_refused_by_number_and_the_rest_goes_in(write, capsys, awa):
    EpreuveFactory(reference_externe="A1")
    out = run(
        capsys,
        write(
            "user_id,epreuve_id,date\nAWA,A1,2024-01-02\nnobody,A1,2024-01-02\nawa,Z,2024-01-02\n"
        ),
    )
    assert "1 importées, 0 repliées, 2 refusées" in out
    assert "ligne 3 refusée : utilisateur « nobody » inconnu" in out
    assert "ligne 4 refusée : épreuve « Z » inconnue" in out
    assert Interaction.objects.get().user == awa


def test_a_date_to_come_is_refused(write, capsys):
    log = "user_id,item_id,date\n1,2,2999-01-01\n1,2,2024-01-01\n"
    out = run(capsys, write(log), "--create-missing")
    assert "ligne 2 refusée : date à venir" in out
    assert "1 importées" in out


def test_a_log_of_which_nothing_can_be_used_is_a_failure(write, capsys):
    with pytest.raises(CommandError, match="Aucune ligne"):
        run(capsys, write(LOG))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "vide"),
        ("user_id,item_id\n1,2\n", "pas de colonne pour « date »"),
        ("user_id,item_id,timestamp\n1,2\n", "ligne 2 : 2 champs au lieu de 3"),
        ("user_id,item_id,timestamp\n1,2,881250949\n1,2,hier\n", "ligne 3 : date « hier »"),
        ("user_id,item_id,timestamp\n1,,881250949\n", "ligne 2 : « epreuve » est vide"),
        ("user_id,item_id,timestamp\n", "aucune interaction"),
        ("user_id,item_id,timestamp\na b,2,881250949\n", "« a b » ne peut pas être un nom"),
        ("user_id,item_id,timestamp,type\n1,2,881250949,vol\n", "type « vol » inconnu"),
        ('user_id,item_id,timestamp\n1,"2,881250949\n', "unexpected end of data"),
        ("user_id,item_id,timestamp\n1,2\0,881250949\n", "octets nuls"),
        (
            "user_id,item_id,timestamp,type_interaction,note_difficulte,note_pertinence\n"
            "1,2,881250949,evaluation,3,9\n",
            "hors de 1 à 5",
        ),
    ],
)
def test_a_malformed_file_changes_nothing(write, capsys, text, message):
    with pytest.raises(CommandError, match=message):
        run(capsys, write(text), "--create-missing")
    assert not User.objects.exists()
    assert not Epreuve.objects.exists()


def test_a_malformed_catalogue_changes_nothing(write, capsys):
    with pytest.raises(CommandError, match=r"ligne 2 : année « 19955 »"):
        run(
            capsys,
            write(LOG),
            "--create-missing",
            "--epreuves",
            write("item_id,titre,annee\nA1,T,19955\n", "c.csv"),
        )
    assert not User.objects.exists()


def test_a_file_in_no_encoding_says_so(tmp_path, capsys):
    path = tmp_path / "abime.csv"
    path.write_bytes("user_id,item_id,timestamp\né,1,1\n".encode() + b"\xff,1,1\n")
    with pytest.raises(CommandError, match="UTF-8"):
        run(capsys, str(path))


def test_a_missing_file_says_so(capsys):
    with pytest.raises(CommandError, match="illisible"):
        run(capsys, "/nowhere/log.csv")


def test_a_dry_run_reports_and_writes_nothing(write, capsys):
    out = run(capsys, write(LOG), "--create-missing", "--dry-run")
    assert "2 importées" in out
    assert "rien n'a été écrit" in out
    assert not User.objects.exists()
    assert not Matiere.objects.exists()


def test_columns_of_any_name_can_be_named(write, capsys):
    out = run(
        capsys,
        write("qui;quoi;quand\n1;2;2024-01-02T10:00:00Z\n"),
        "--create-missing",
        "--user-column=qui",
        "--epreuve-column=quoi",
        "--date-column=quand",
        "--type=telechargement",
    )
    assert "1 importées" in out
    assert Epreuve.objects.get().nb_telechargements == 1


def test_the_last_notes_of_a_pair_stand_and_the_counters_follow(write, capsys, awa):
    epreuve = EpreuveFactory(reference_externe="A1")
    header = "user_id,epreuve_id,timestamp,type_interaction,note_difficulte,note_pertinence\n"
    run(
        capsys,
        write(header + "awa,A1,1700000000,evaluation,2,2\nawa,A1,1600000000,evaluation,5,5\n"),
    )
    epreuve.refresh_from_db()
    assert Evaluation.objects.get().note_pertinence == 2
    assert (epreuve.nb_evaluations, epreuve.somme_difficulte, epreuve.somme_pertinence) == (1, 2, 2)


def test_notes_given_in_the_bank_since_then_stay(write, capsys, awa):
    epreuve = EpreuveFactory(reference_externe="A1")
    EvaluationFactory(user=awa, epreuve=epreuve, note_difficulte=4, note_pertinence=4)
    header = "user_id,epreuve_id,timestamp,type_interaction,note_difficulte,note_pertinence\n"
    run(capsys, write(header + "awa,A1,1700000000,evaluation,2,2\n"))
    assert Evaluation.objects.get().note_pertinence == 4


def test_new_epreuves_move_the_catalogue(write, capsys):
    before = catalogue_generation()
    run(capsys, write(LOG), "--create-missing")
    assert catalogue_generation() == before + 1


@pytest.mark.skipif(not REAL.is_dir(), reason="MovieLens 100K absent: left out")
def test_the_real_movielens_catalogue_comes_in(tmp_path, capsys):
    head = (REAL / "ml-100k.inter").read_text().splitlines()[:501]
    path = tmp_path / "head.inter"
    path.write_text("\n".join(head) + "\n")
    out = run(capsys, str(path), "--epreuves", str(REAL / "ml-100k.item"), "--create-missing")
    assert "500 lues, 500 importées" in out
    assert Epreuve.objects.count() == 1682


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,item_id,date\n1,2,0001-01-01\n", "ligne 2 : date « 0001-01-01 »"),
        ("user_id,item_id,date\n1,2,9999-12-31T23:59:59-12:00\n", "illisible"),
        ("user_id,user_id,item_id,date\n1,1,2,2024-01-01\n", "plusieurs colonnes « user_id »"),
    ],
)
def test_dates_and_headers_that_make_no_sense_are_named(write, capsys, text, message):
    with pytest.raises(CommandError, match=message):
        run(capsys, write(text), "--create-missing")
    assert not User.objects.exists()


@pytest.mark.parametrize("option", ["--user-column", "--date-column", "--type-column"])
def test_a_named_column_must_be_there(write, capsys, option):
    with pytest.raises(CommandError, match="pas de colonne"):
        run(capsys, write(LOG), f"{option}=absente", "--create-missing")


@pytest.mark.parametrize("option", ["--titre-column", "--annee-column", "--matiere-column"])
def test_a_named_column_of_the_catalogue_must_be_there(write, capsys, option):
    files = (write(LOG), "--epreuves", write(CATALOGUE, "c.item"))
    with pytest.raises(CommandError, match="pas de colonne"):
        run(capsys, *files, f"{option}=absente", "--create-missing")
    assert not Epreuve.objects.exists()


def test_nobody_is_created_for_a_date_to_come(write, capsys):
    log = "user_id,item_id,date\na,1,2999-01-01\n"
    with pytest.raises(CommandError, match="Aucune ligne"):
        run(capsys, write(log), "--create-missing")
    assert not User.objects.exists()
    assert not Epreuve.objects.exists()


def test_subjects_that_read_alike_stay_apart(write, capsys):
    catalogue = "item_id,titre,matiere\nA1,Un,C++\nB2,Deux,C#\nC3,Trois,数学\n"
    run(capsys, write(LOG), "--create-missing", "--epreuves", write(catalogue, "c.csv"))
    assert dict(Matiere.objects.values_list("nom", "code")) == {
        "C++": "C-2",
        "C#": "C",
        "数学": "X",
    }


def test_a_file_is_read_before_the_database_is_held(write, monkeypatch):
    held = []
    real = imports.read_events

    def spy(*args):
        held.append(connection.in_atomic_block and len(connection.savepoint_ids))
        return real(*args)

    monkeypatch.setattr(imports, "read_events", spy)
    before = len(connection.savepoint_ids)
    call_command("import_interactions", write(LOG), "--create-missing", verbosity=0)
    assert held == [before]


def test_a_letter_that_folds_to_another_is_not_taken_for_it(write, capsys, awa):
    EpreuveFactory(reference_externe="A1")
    log = "user_id,epreuve_id,date\nAWA,A1,2024-01-02\nªwa,A1,2024-02-02\n"
    assert "utilisateur « ªwa » inconnu" in run(capsys, write(log))


def test_the_favourites_of_a_log_are_favourites_until_taken_back(write, capsys, awa):
    epreuve = EpreuveFactory(reference_externe="A1")
    header = "user_id,item_id,timestamp,type\n"
    run(capsys, write(header + "awa,A1,1700000000,favori\nawa,A1,1600000000,favori\n"))
    kept = Favori.objects.get()
    assert (kept.user, kept.epreuve, int(kept.date.timestamp())) == (awa, epreuve, 1600000000)
    remove_favori(user=awa, epreuve=epreuve)
    run(capsys, write(header + "awa,A1,1710000000,favori\n"))
    assert Interaction.objects.count() == 3
    assert not Favori.objects.exists()
