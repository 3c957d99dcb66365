import csv
import io
import re
import stat

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError, connection

from apps.comptes.services import import_users as service
from apps.comptes.services.import_users import one_time_password
from apps.core.models import Epreuve, Filiere, Role, User
from tests.factories import EpreuveFactory, FiliereFactory, UserFactory

pytestmark = pytest.mark.django_db

LIST = """matricule,nom,prenom,email,filiere,niveau
IMSP/24-001,Adjovi,Nadège,nadege@imsp.test,MATH,L1
IMSP/24-002,Hounsou,Yann,yann@imsp.test,math,l2
"""
HEADER = "matricule,nom,prenom,email,filiere,niveau,role,username\n"


@pytest.fixture(autouse=True)
def _math(db):
    FiliereFactory(code="MATH", nom="Mathématiques")


@pytest.fixture
def write(tmp_path):
    def _write(text: str) -> str:
        path = tmp_path / "liste.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return _write


@pytest.fixture
def secrets(tmp_path):
    return tmp_path / "mots-de-passe.csv"


@pytest.fixture
def run(write, secrets, capsys):
    def _run(text: str, *args: str) -> str:
        call_command("import_users", write(text), f"--output={secrets}", *args, verbosity=0)
        captured = capsys.readouterr()
        return captured.out + captured.err

    return _run


def read(path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["username", "mot_de_passe"]
    return dict(rows)


def test_each_person_of_the_list_gets_an_account(run):
    assert "2 lues, 2 comptes créés, 0 mis à jour, 0 inchangés, 0 lignes refusées" in run(LIST)
    nadege = User.objects.get(matricule="IMSP/24-001")
    assert (nadege.username, nadege.get_full_name()) == ("imsp-24-001", "Nadège Adjovi")
    assert (nadege.email, nadege.filiere.code, nadege.niveau) == ("nadege@imsp.test", "MATH", "L1")
    assert (nadege.role, nadege.is_staff, nadege.is_active) == (Role.ETUDIANT, False, True)
    assert User.objects.get(matricule="IMSP/24-002").niveau == "L2"


def test_a_list_as_excel_writes_it_is_read(tmp_path, secrets):
    path = tmp_path / "liste.csv"
    path.write_bytes(LIST.replace(",", ";").encode("cp1252"))
    call_command("import_users", path, f"--output={secrets}", verbosity=0)
    assert User.objects.get(matricule="IMSP/24-001").first_name == "Nadège"


def test_the_passwords_are_in_a_file_that_its_owner_alone_reads(run, secrets):
    run(LIST)
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    passwords = read(secrets)
    assert set(passwords) == {"imsp-24-001", "imsp-24-002"}
    for username, password in passwords.items():
        assert User.objects.get(username=username).check_password(password)


def test_a_password_of_the_file_serves_once_to_choose_another(run, secrets, anyone):
    run(LIST)
    body = {"username": "imsp-24-001", "password": read(secrets)["imsp-24-001"]}
    assert anyone.post("/api/token/", body).status_code == 403
    change = {"username": body["username"], "mot_de_passe": body["password"]}
    change |= {"nouveau_mot_de_passe": "Kpodji-7-fromagers"}
    assert anyone.post("/api/mot-de-passe/", change).status_code == 200


def test_passwords_are_readable_sixty_bits_and_never_the_same():
    drawn = {one_time_password() for _ in range(500)}
    assert len(drawn) == 500
    signs = set("".join(drawn)) - {"-"}
    assert not signs & set("01lO")
    assert len(signs) == 32
    assert all(re.fullmatch("[a-z2-9]{4}(-[a-z2-9]{4}){2}", password) for password in drawn)


def test_the_same_list_again_changes_nothing(run, secrets):
    run(LIST)
    before = list(User.objects.order_by("pk").values())
    secrets.unlink()
    assert "0 comptes créés, 0 mis à jour, 2 inchangés" in run(LIST)
    assert list(User.objects.order_by("pk").values()) == before
    assert not secrets.exists()


def test_a_known_matricule_is_brought_up_to_date_and_keeps_its_account(run, secrets):
    before = UserFactory(
        username="nadege", matricule="IMSP/24-001", niveau="L1", email="a@imsp.test"
    )
    text = HEADER + "IMSP/24-001,Adjovi,,neuve@imsp.test,,L2,enseignant,autre\n"
    assert "0 comptes créés, 1 mis à jour" in run(text)
    after = User.objects.get(pk=before.pk)
    assert (after.last_name, after.email, after.niveau) == ("Adjovi", "neuve@imsp.test", "L2")
    kept = ("username", "password", "role", "filiere_id", "mot_de_passe_temporaire")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert not secrets.exists()


def test_a_teacher_of_the_list_is_found_by_a_new_name(run):
    text = HEADER + "E-1,{},Reine,reine@imsp.test,,,enseignant,dossou\n"
    run(text.format("Dossou"))
    teacher = User.objects.get(username="dossou")
    assert (teacher.role, teacher.niveau, teacher.filiere) == (Role.ENSEIGNANT, "", None)
    epreuve = EpreuveFactory(enseignant=teacher)
    run(text.format("Ahô"))
    assert Epreuve.objects.matching("aho").get() == epreuve


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("A1,,Nadège,,MATH,L1,,", "le matricule et le nom sont obligatoires"),
        (",Adjovi,,,MATH,L1,,", "le matricule et le nom sont obligatoires"),
        ("A1,Adjovi,,pas une adresse,MATH,L1,,", "adresse électronique : Saisissez une adresse"),
        ("A1,Adjovi,,,MATH,L9,,", "« L9 » inconnu (attendu : PREPA, L1"),
        ("A1,Adjovi,,,BIO,L1,,", "filière « BIO » inconnue"),
        ("A1,Adjovi,,,MATH,L1,administrateur,", "rôle « administrateur »"),
        ("A1,Adjovi,,,MATH,L1,,na dège", "nom d'utilisateur : "),
        ("数学,Adjovi,,,MATH,L1,,", "nom d'utilisateur : "),
        (f"{'9' * 33},Adjovi,,,MATH,L1,,", "matricule : Assurez-vous"),
        ("A1,Adjovi,,AWA@imsp.test,MATH,L1,,", "adresse « AWA@imsp.test » : déjà à un autre"),
        ("AWA,Adjovi,,,MATH,L1,,", "nom d'utilisateur « awa » : déjà à un autre compte"),
        ("OK1,Adjovi,,,MATH,L1,,", "matricule « OK1 » déjà à la ligne 2"),
        ("A1,Adjovi,,ok@imsp.test,MATH,L1,,", "adresse « ok@imsp.test » : déjà à un autre"),
        ("A1,Adjovi,,,MATH,L1,,ok1", "nom d'utilisateur « ok1 » : déjà à un autre compte"),
    ],
)
def test_a_line_that_cannot_be_is_refused_by_its_number_and_the_others_go_in(
    run, awa, line, reason
):
    text = HEADER + "OK1,Hounsou,Yann,ok@imsp.test,MATH,L1,,\n" + line + "\n"
    out = run(text)
    assert "2 lues, 1 comptes créés, 0 mis à jour, 0 inchangés, 1 lignes refusées" in out
    assert f"ligne 3 refusée : {reason}" in out
    assert set(User.objects.values_list("username", flat=True)) == {"awa", "ok1"}


def test_an_administrator_is_not_changed_by_a_list(run, rachidi):
    User.objects.update(matricule="ADM-1", email="")
    with pytest.raises(CommandError, match="Aucune ligne"):
        run(HEADER + "ADM-1,Intrus,,intrus@imsp.test,,,,\n")
    rachidi.refresh_from_db()
    assert (rachidi.email, rachidi.last_name) == ("", "")


def test_missing_filieres_are_created_on_demand(run):
    run(HEADER + "A1,Adjovi,,,Physique,L1,,\nA2,Sossa,,,mathématiques,L1,,\n", "--create-missing")
    assert User.objects.get(matricule="A1").filiere.nom == "Physique"
    assert User.objects.get(matricule="A2").filiere.code == "MATH"
    assert Filiere.objects.count() == 2


def test_a_dry_run_reports_and_writes_nothing(run, tmp_path):
    text = HEADER + "A1,Adjovi,,,Physique,L1,,\nA2,Sossa,,,Physique,L9,,\n"
    out = run(text, "--create-missing", "--dry-run")
    assert "1 comptes créés" in out
    assert "ligne 3 refusée : « L9 »" in out
    assert "rien n'a été écrit" in out
    assert not User.objects.exists()
    assert Filiere.objects.count() == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["liste.csv"]


def test_passwords_are_never_written_over_a_file(run, secrets):
    secrets.write_text("précieux", encoding="utf-8")
    with pytest.raises(CommandError, match="existe déjà"):
        run(LIST)
    assert secrets.read_text(encoding="utf-8") == "précieux"
    assert not User.objects.exists()


def test_a_folder_that_is_not_there_says_so(write):
    with pytest.raises(CommandError, match="/nulle/part"):
        call_command("import_users", write(LIST), output="/nulle/part/x.csv", verbosity=0)
    assert not User.objects.exists()


def test_no_output_is_refused_but_for_a_dry_run(write):
    with pytest.raises(CommandError, match="--output"):
        call_command("import_users", write(LIST), verbosity=0)


def test_the_passwords_are_on_the_disk_before_the_accounts(run, secrets, monkeypatch):
    seen = []
    real = service._write

    def spy(accounts, report):
        seen.append(read(secrets).keys())
        return real(accounts, report)

    monkeypatch.setattr(service, "_write", spy)
    run(LIST)
    assert seen == [{"imsp-24-001", "imsp-24-002"}]


def test_an_import_that_fails_leaves_neither_account_nor_password(run, secrets, monkeypatch):
    def another_took_it(*args, **kwargs):
        raise IntegrityError

    monkeypatch.setattr(service, "refresh_search_text", another_took_it)
    with pytest.raises(CommandError, match="relancez"):
        run(LIST)
    assert not User.objects.exists()
    assert not secrets.exists()


def test_a_commit_without_an_answer_keeps_the_passwords(run, secrets, monkeypatch):
    commit = connection.savepoint_commit

    def commit_and_fall_silent(sid):
        commit(sid)
        if not connection.savepoint_ids:  # the last one
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(connection, "savepoint_commit", commit_and_fall_silent)
    with pytest.raises(CommandError, match="Gardez"):
        run(LIST)
    assert read(secrets).keys() == {"imsp-24-001", "imsp-24-002"}


def test_a_filiere_too_long_for_its_column_is_refused_by_its_line(run):
    line = f"A1,Adjovi,Awa,a@imsp.test,{'x' * 121},L1\n"
    with pytest.raises(CommandError, match="Aucune ligne"):
        run("matricule,nom,prenom,email,filiere,niveau\n" + line, "--create-missing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "vide"),
        ("matricule,nom,email,filiere,niveau\n", "ne contient personne"),
        ("matricule,nom,filiere,niveau\nA1,Adjovi,MATH,L1\n", "pas de colonne pour « email »"),
        ("matricule,nom,email,filiere,niveau\nA1,Adjovi\n", "ligne 2 : 2 champs au lieu de 5"),
    ],
)
def test_a_malformed_list_changes_nothing(run, text, message):
    with pytest.raises(CommandError, match=message):
        run(text)
    assert not User.objects.exists()


def test_columns_are_known_by_their_usual_names_or_named(run):
    run(
        "Numéro\tNom complet\tE-mail\tParcours\tNiveau\nA1\tNadège Adjovi\t\tMATH\tM1\n",
        "--filiere-column=Parcours",
        "--nom-column=Nom complet",
    )
    user = User.objects.get()
    assert (user.matricule, user.get_full_name(), user.filiere.code, user.niveau) == (
        "A1",
        "Nadège Adjovi",
        "MATH",
        "M1",
    )


def test_the_help_says_what_happens_to_known_accounts(capsys):
    with pytest.raises(SystemExit):
        call_command("import_users", "--help")
    assert "mis à jour" in capsys.readouterr().out


def test_the_bar_goes_to_the_error_stream(write, secrets, capsys):
    call_command("import_users", write(LIST), output=secrets, stdout=io.StringIO())
    assert "Comptes" in capsys.readouterr().err
