import datetime as dt
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from pypdf import PdfReader, PdfWriter

from apps.core.models import Epreuve, Filiere, Matiere, Role, Statut, TexteEpreuve
from apps.core.services import import_epreuves as service
from apps.core.services.epreuves import deposit_epreuve
from apps.recommender.services.catalogue import catalogue_generation
from tests.core.test_admin import history
from tests.factories import (
    EpreuveFactory,
    FiliereFactory,
    MatiereFactory,
    UserFactory,
    pdf,
    with_file,
)

pytestmark = pytest.mark.django_db

CATALOGUE = """titre;matière;Filière;niveau;type_epreuve;session;semestre;annee;annee_academique;\
enseignant;description;reference_externe;fichier;corrige;corrige_visible_le
Analyse 1;ANALYSE;MATH;l2;Examen;Rattrapage;3;2024;2023-2024;dossou;Suites, séries;A-1;a.pdf;\
ac.pdf;15/06/2099 08:00
Algèbre;Matière ALGEBRE;;;;;;;;M. Œuvré;;A-2;TD/b.pdf;;
"""


@pytest.fixture(autouse=True)
def _bank(rachidi, mme_dossou):
    FiliereFactory(code="MATH")
    MatiereFactory(code="ANALYSE")
    MatiereFactory(code="ALGEBRE")


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "pdfs"
    (folder / "TD").mkdir(parents=True)
    for name in ("a", "ac", "TD/b"):
        (folder / f"{name}.pdf").write_bytes(pdf(name))
    return folder


@pytest.fixture
def run(tmp_path, folder, capsys):
    def _run(text: str | bytes, *args: str, fails: bool = False) -> str:
        path = tmp_path / "catalogue.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        command = ["import_epreuves", str(path), f"--pdfs={folder}", *args]
        if fails:
            with pytest.raises(CommandError) as failure:
                call_command(*command, verbosity=0)
        else:
            call_command(*command, verbosity=0)
        captured = capsys.readouterr()
        return captured.out + captured.err + (str(failure.value) if fails else "")

    return _run


def stored() -> list[str]:
    return [
        os.path.join(folder, name)
        for folder, _, names in os.walk(settings.MEDIA_ROOT)
        for name in names
    ]


def content(field) -> bytes:
    with field.open() as file:
        return file.read()


def line(**cells: str) -> str:
    cells = {"titre": "T", "matiere": "ANALYSE", "fichier": "a.pdf"} | cells
    return f"{';'.join(cells)}\n{';'.join(cells.values())}\n"


def test_each_line_becomes_an_epreuve_with_its_files(run, folder):
    assert "2 lignes lues, 2 ajouts" in run(CATALOGUE)
    analyse = Epreuve.objects.get(reference_externe="A-1")
    facts = ("titre", "niveau", "type_epreuve", "session", "semestre", "annee", "annee_academique")
    assert [getattr(analyse, fact) for fact in facts] == [
        *("Analyse 1", "L2", "examen", "rattrapage", 3, 2024, "2023-2024")
    ]
    assert (analyse.matiere.code, analyse.filiere.code) == ("ANALYSE", "MATH")
    assert (analyse.enseignant.username, analyse.enseignant_nom) == ("dossou", "")
    assert analyse.corrige_visible_le == dt.datetime(2099, 6, 15, 7, tzinfo=dt.UTC)
    assert content(analyse.fichier) == (folder / "a.pdf").read_bytes()
    assert content(analyse.fichier_corrige) == (folder / "ac.pdf").read_bytes()
    algebre = Epreuve.objects.get(reference_externe="A-2")
    assert (algebre.matiere.code, algebre.filiere, algebre.niveau) == ("ALGEBRE", None, "AUTRE")
    assert (algebre.enseignant, algebre.enseignant_nom) == (None, "M. Œuvré")
    assert content(algebre.fichier) == (folder / "TD/b.pdf").read_bytes()


def test_what_comes_in_is_a_deposit_like_another(run, rachidi):
    run(CATALOGUE)
    epreuve = Epreuve.objects.get(reference_externe="A-1")
    assert (epreuve.statut, epreuve.depose_par) == (Statut.SOUMISE, rachidi)
    assert history(epreuve) == [("rachidi", "Déposée : Soumise.")]
    assert "series" in TexteEpreuve.objects.get(pk=epreuve.pk).fiche


def test_published_at_once_where_asked(run):
    before = catalogue_generation()
    run(CATALOGUE, "--publish")
    assert Epreuve.objects.published().count() == 2
    assert catalogue_generation() > before


def test_a_dry_run_says_all_and_writes_nothing(run):
    out = run(line(matiere="Topologie"), "--dry-run", "--create-missing")
    assert "1 ajouts" in out
    assert "2 PDF sans ligne" in out
    assert "rien n'a été écrit" in out
    assert not Epreuve.objects.exists()
    assert not Matiere.objects.filter(nom="Topologie").exists()
    assert stored() == []


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_ways_a_spreadsheet_writes_are_all_read(run, separator, encoding, newline):
    cells = ("Été à l’œuvre", "ANALYSE", "a.pdf", f'"Deux{newline}lignes{separator} et ""mots"""')
    text = separator.join(("TITRE", "Matière", "fichier", "description"))
    text += newline + separator.join(cells) + newline
    run(text.encode(encoding))
    epreuve = Epreuve.objects.get()
    assert epreuve.titre == "Été à l’œuvre"
    assert epreuve.description == f'Deux{newline}lignes{separator} et "mots"'


def test_an_utf8_file_that_was_damaged_is_not_taken_for_windows(run):
    text = line(titre="Été").encode() + b";;\xff\n"
    assert "ni en UTF-8" in run(text, fails=True)


FAULTY = """titre;matiere;niveau;annee;annee_academique;semestre;corrige_visible_le;fichier
;ANALYSE;L2;2024;;;;a.pdf
T;INCONNUE;L9;1789;2023-2026;11;demain;TD/b.pdf
T;ANALYSE;;;;;;absent.pdf
T;ANALYSE;;
T;ANALYSE;;;;;;
"""


def test_all_faults_are_told_at_once_by_line_and_column(run):
    out = run(FAULTY, fails=True)
    for said in (
        "ligne 2, titre : Ce champ est obligatoire.",
        "ligne 3, matiere : Code inconnu. Codes admis : ALGEBRE, ANALYSE.",
        "ligne 3, niveau : Valeur inconnue. Valeurs admises : PREPA, L1",
        "ligne 3, annee : ",
        "ligne 3, annee_academique : Les deux années doivent se suivre",
        "ligne 3, semestre : ",
        "ligne 3, corrige_visible_le : Écrivez une date comme",
        "ligne 4, fichier : « absent.pdf » n'est pas parmi les PDF.",
        "ligne 5, toutes : 4 champs au lieu de 8.",
        "ligne 6, fichier : une nouvelle épreuve a son PDF.",
        "5 lignes lues, 10 erreurs, 1 PDF sans ligne.",
        "Rien n'a été écrit",
    ):
        assert said in out, said


def test_one_fault_leaves_all_undone(run):
    run(CATALOGUE + "T;ANALYSE;;;;;;;;;;;absent.pdf;;\n", fails=True)
    assert not Epreuve.objects.exists()
    assert stored() == []


def test_no_more_faults_than_one_can_read(run, monkeypatch):
    monkeypatch.setattr(service, "FAULTS_SHOWN", 2)
    out = run("titre;matiere;fichier\n" + "T;ANALYSE;x.pdf\n" * 5, fails=True)
    assert out.count("n'est pas parmi les PDF") == 2
    assert "… et 3 autres erreurs" in out


def test_a_line_is_that_of_the_spreadsheet(run):
    text = (
        'titre;matiere;fichier;description\nT;ANALYSE;a.pdf;"deux\nlignes"\n;;;\n\nT;X;TD/b.pdf;\n'
    )
    assert "ligne 5, matiere" in run(text, fails=True)


def test_a_pdf_is_checked_as_an_upload(run, folder, settings):
    (folder / "word.pdf").write_bytes(b"PK\x03\x04")
    (folder / "court.pdf").write_bytes(pdf()[:200])
    (folder / "gros.pdf").write_bytes(pdf() + b" " * 5000)
    writer = PdfWriter(PdfReader(folder / "a.pdf"))
    writer.encrypt("secret")
    writer.write(folder / "clos.pdf")
    settings.TAILLE_MAX_OCTETS = 4000
    names = ("word", "court", "gros", "clos")
    out = run(
        "titre;matiere;fichier\n" + "".join(f"T;ANALYSE;{n}.pdf\n" for n in names), fails=True
    )
    assert "ligne 2, fichier : « word.pdf » n'est pas un PDF." in out
    assert "ligne 3, fichier : Ce PDF est tronqué" in out
    assert "ligne 4, fichier : Ce fichier dépasse" in out
    assert "ligne 5, fichier : Ce PDF est protégé" in out


@pytest.mark.parametrize(
    "name",
    ["../secret.pdf", "TD/../../secret.pdf", "/etc/passwd", "C:\\secret.pdf", "..\\secret.pdf"],
)
def test_no_path_leads_out_of_the_folder(run, folder, name):
    (folder.parent / "secret.pdf").write_bytes(pdf("secret"))
    assert "un nom dans le dossier, sans « .. »" in run(line(fichier=name), fails=True)


def test_a_link_leads_nowhere_outside_and_anywhere_inside(run, folder):
    (folder.parent / "secret.pdf").write_bytes(pdf("secret"))
    (folder / "dehors.pdf").symlink_to(folder.parent / "secret.pdf")
    (folder / "boucle.pdf").symlink_to(folder / "boucle.pdf")
    (folder / "TD" / "tout").symlink_to(folder.parent)
    (folder / "dedans.pdf").symlink_to(folder / "a.pdf")
    for name in ("dehors.pdf", "boucle.pdf", "TD/tout/secret.pdf"):
        assert "n'est pas parmi les PDF" in run(line(fichier=name), fails=True), name
    run(line(fichier="dedans.pdf"))


def test_names_are_found_as_windows_and_macos_write_them(run, folder):
    (folder / "TD" / "e\u0301preuve.pdf").write_bytes(pdf("é"))
    run(line(fichier="TD\\épreuve.pdf"))


def test_missing_names_are_made_where_asked(run):
    text = "titre;matiere;filiere;fichier\nT;Topologie;Génie civil;a.pdf\nU;topologie;;TD/b.pdf\n"
    assert "matiere : Code inconnu" in run(text, fails=True)
    run(text, "--create-missing")
    matiere = Matiere.objects.get(code="TOPOLOGIE")
    assert matiere.epreuves.count() == 2
    assert Filiere.objects.get(nom="Génie civil").epreuves.count() == 1


def test_what_the_bank_has_is_told_skipped_or_updated(run):
    run(CATALOGUE)
    again = CATALOGUE.replace("Analyse 1", "Analyse I").replace(";2024;", ";;")
    first = Epreuve.objects.get(reference_externe="A-1")
    assert f"ligne 2, reference_externe : déjà dans la banque : épreuve {first.pk}" in run(
        again, fails=True
    )
    assert "2 passées" in run(again, "--existing=skip")
    assert Epreuve.objects.get(pk=first.pk).titre == "Analyse 1"
    assert "0 ajouts, 1 mises à jour, 1 inchangées" in run(again, "--existing=update")
    after = Epreuve.objects.get(pk=first.pk)
    # An empty cell says nothing: the year stays.
    assert (after.titre, after.annee, after.fichier) == ("Analyse I", 2024, first.fichier)
    assert history(after)[-1] == ("rachidi", "Modifiée : titre.")
    assert len(history(Epreuve.objects.get(reference_externe="A-2"))) == 1


def test_a_file_without_reference_is_known_by_its_bytes(run, folder):
    known = with_file(EpreuveFactory(), (folder / "a.pdf").read_bytes())
    assert f"déjà dans la banque : épreuve {known.pk}" in run(line(), fails=True)
    run(line(titre="Mieux"), "--existing=update")
    assert Epreuve.objects.get().titre == "Mieux"


def test_an_archived_file_may_come_back(run, folder):
    with_file(EpreuveFactory(statut=Statut.ARCHIVEE), (folder / "a.pdf").read_bytes())
    assert "1 ajouts" in run(line())


def test_an_update_replaces_a_file_and_deletes_the_old_one(
    run, folder, django_capture_on_commit_callbacks
):
    run(line(reference_externe="A"))
    old = Epreuve.objects.get().fichier.name
    with django_capture_on_commit_callbacks(execute=True):
        run(line(reference_externe="A", fichier="ac.pdf"), "--existing=update")
    new = Epreuve.objects.get()
    assert content(new.fichier) == (folder / "ac.pdf").read_bytes()
    assert not default_storage.exists(old)


def test_a_refused_update_deletes_no_file(run, django_capture_on_commit_callbacks):
    run(line(reference_externe="A"))
    before = stored()
    text = "titre;matiere;reference_externe;fichier\nT;ANALYSE;A;ac.pdf\nU;ANALYSE;B;absent.pdf\n"
    with django_capture_on_commit_callbacks(execute=True):
        run(text, "--existing=update", fails=True)
        run(text.replace("absent", "TD/b"), "--existing=update", "--dry-run")
    assert stored() == before


def test_a_reference_and_a_file_of_two_epreuves_are_refused(run, folder):
    other = with_file(EpreuveFactory(), (folder / "a.pdf").read_bytes())
    EpreuveFactory(reference_externe="A")
    out = run(line(reference_externe="A"), "--existing=update", fails=True)
    assert f"celui d'une autre : l'épreuve {other.pk}" in out


def test_a_file_keeps_the_reference_it_has(run, folder):
    known = with_file(EpreuveFactory(reference_externe="A"), (folder / "a.pdf").read_bytes())
    out = run(line(reference_externe="B"), "--existing=update", fails=True)
    assert f"celui d'une autre : l'épreuve {known.pk}" in out


def test_epreuves_without_reference_or_file_are_nobodys(run):
    """What is empty is equal to nothing."""
    EpreuveFactory(reference_externe="Z")
    EpreuveFactory()
    text = "titre;matiere;reference_externe;fichier\nT;ANALYSE;Z;\nU;ANALYSE;;\n"
    assert "ligne 3, fichier : une nouvelle épreuve a son PDF" in run(
        text, "--existing=update", fails=True
    )


@pytest.mark.parametrize(
    ("second", "column"),
    [("U;ANALYSE;A;TD/b.pdf", "reference_externe"), ("U;ANALYSE;;a.pdf", "fichier")],
)
def test_two_lines_are_not_about_the_same(run, second, column):
    text = f"titre;matiere;reference_externe;fichier\nT;ANALYSE;A;a.pdf\n{second}\n"
    assert f"ligne 3, {column} : la même épreuve est à la ligne 2" in run(text, fails=True)


def test_a_column_that_is_missing_unknown_or_repeated_says_which(run):
    out = run("titre;Titré;fichier;anée;\nT;U;a.pdf;2024;\n", fails=True)
    assert "colonne manque : matiere ; inconnue : anée, sans nom ; répétée : titre." in out


@pytest.mark.parametrize(
    ("said", "fails"),
    [
        ("31/12/2099", False),
        ("31/12/9999", True),
        ("01/01/0001", True),
        ("0001-01-01T00:00+14:00", True),
    ],
)
def test_a_date_that_no_clock_shows_is_a_fault(run, said, fails):
    out = run(line(corrige_visible_le=said), fails=fails)
    assert ("ligne 2, corrige_visible_le" in out) == fails


@pytest.mark.parametrize("text", ["", "titre;matiere;fichier\n", "titre;matiere;fichier\n;;\n"])
def test_an_empty_catalogue_says_so(run, text):
    assert "est vide" in (said := run(text, fails=True)) or "aucune épreuve" in said


def test_a_catalogue_too_long_is_to_be_divided(run, monkeypatch):
    monkeypatch.setattr(service, "LINES_MAX", 1)
    assert "divisez-le" in run(CATALOGUE, fails=True)


def test_a_folder_that_is_none_says_so(run):
    assert "n'est pas un dossier" in run(line(), "--pdfs=/nulle/part", fails=True)


def test_a_failure_of_the_database_leaves_no_file(run, monkeypatch):
    real = service.add_epreuve

    def second_fails(files, **given):
        if Epreuve.objects.exists():
            raise IntegrityError
        return real(files, **given)

    monkeypatch.setattr(service, "add_epreuve", second_fails)
    assert "La banque a changé" in run(CATALOGUE, fails=True)
    assert not Epreuve.objects.exists()
    assert stored() == []


def test_a_file_that_came_in_between_leaves_all_undone(run, folder, monkeypatch):
    monkeypatch.setattr(service._Bank, "find", lambda self, line: None)
    with_file(EpreuveFactory(), (folder / "TD/b.pdf").read_bytes())
    before = stored()
    assert "Ce fichier est déjà dans la banque" in run(CATALOGUE, fails=True)
    assert Epreuve.objects.count() == 1
    assert stored() == before


@pytest.mark.parametrize("becomes", [b"%PDF-1.7 autre", None])
def test_a_pdf_that_changed_since_it_was_checked_is_not_stored(run, folder, monkeypatch, becomes):
    real = service._check

    def change_meanwhile(*args):
        changes = real(*args)
        target = folder / "TD/b.pdf"
        target.unlink() if becomes is None else target.write_bytes(becomes)
        return changes

    monkeypatch.setattr(service, "_check", change_meanwhile)
    assert "b.pdf a " in run(CATALOGUE, fails=True)
    assert not Epreuve.objects.exists()
    assert stored() == []


@pytest.mark.requires("postgresql")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("statut", [Statut.SOUMISE, Statut.PUBLIEE])
def test_an_import_and_a_deposit_do_not_lock_each_other_out(run, rachidi, monkeypatch, statut):
    """They share words, which come in another order, and the generation of the catalogue."""
    text = "titre;matiere;fichier\nZygote;ANALYSE;a.pdf\nAbaque;ANALYSE;TD/b.pdf\n"
    matiere, first_is_in = Matiere.objects.get(code="ANALYSE"), threading.Event()
    real = service.add_epreuve

    def slowly(files, **given):
        real(files, **given)
        first_is_in.set()
        time.sleep(0.5)

    def deposit() -> int:
        first_is_in.wait(30)
        try:
            titre = "Abaque du zygote"
            with transaction.atomic():
                given = {"titre": titre, "matiere": matiere, "statut": statut}
                return deposit_epreuve(auteur=rachidi, fichiers={}, **given).pk
        finally:
            connection.close()

    monkeypatch.setattr(service, "add_epreuve", slowly)
    with ThreadPoolExecutor(1) as other:
        deposited = other.submit(deposit)
        run(text, "--publish")
        assert Epreuve.objects.filter(pk=deposited.result(30)).exists()
    assert Epreuve.objects.count() == 3


def test_somebody_is_the_author(run):
    UserFactory(username="nadia", role=Role.ADMINISTRATEUR)
    assert "--author" in run(line(), fails=True)
    assert "--author" in run(line(), "--author=dossou", fails=True)
    run(line(), "--author=Nadia")
    assert Epreuve.objects.get().depose_par.username == "nadia"


def test_a_thousand_files_are_not_open_at_once(run, folder, monkeypatch):
    """As many descriptors as a process may have would not be enough."""
    for number in range(60):
        (folder / f"{number}.pdf").write_bytes(pdf(str(number)))
    text = "titre;matiere;fichier\n" + "".join(f"T;ANALYSE;{n}.pdf\n" for n in range(60))
    open_before = len(os.listdir("/proc/self/fd"))
    most = 0
    real = service._Line.open_documents

    def counted(line, documents):
        nonlocal most
        real(line, documents)
        most = max(most, len(os.listdir("/proc/self/fd")))

    monkeypatch.setattr(service._Line, "open_documents", counted)
    run(text)
    assert Epreuve.objects.count() == 60
    assert most < open_before + 10


def test_checking_a_line_more_costs_few_queries(run, django_assert_max_num_queries):
    rows = "".join(f"T;ANALYSE;R{n};x{n}.pdf\n" for n in range(30))
    with django_assert_max_num_queries(12 + 30):
        run("titre;matiere;reference_externe;fichier\n" + rows, "--dry-run", fails=True)


# --- What comes from another bank --------------------------------------------------------


MOVED = """titre;matiere;fichier;statut;enseignant;enseignant_nom
Retirée;ANALYSE;a.pdf;archivee;;
Déposée de nouveau;ANALYSE;a.pdf;publiee;parti;Léa Parti
En attente;ALGEBRE;TD/b.pdf;soumise;;
"""


def test_what_was_withdrawn_elsewhere_is_left_and_only_what_was_published_is(run):
    told = run(MOVED, "--publish")
    assert "2 ajouts" in told
    assert "1 passées" in told
    rows = dict(Epreuve.objects.values_list("titre", "statut"))
    assert rows == {"Déposée de nouveau": Statut.PUBLIEE, "En attente": Statut.SOUMISE}


def test_a_teacher_without_an_account_here_keeps_the_name(run):
    run(MOVED)
    row = Epreuve.objects.get(titre="Déposée de nouveau")
    assert (row.enseignant, row.enseignant_nom) == (None, "Léa Parti")
