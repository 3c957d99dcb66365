import csv
import datetime as dt
import tracemalloc

import pytest
from django.core.management import CommandError, call_command

from apps.core.catalogue_file import COLUMNS, TOLD, as_written, harmless, write_catalogue
from apps.core.models import Epreuve, Filiere, Matiere, Statut, User
from tests.factories import EpreuveFactory, MatiereFactory, with_file

pytestmark = pytest.mark.django_db

HOSTILE = ("=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("x";"y")')


@pytest.fixture
def export(tmp_path):
    def _export(*args: str) -> bytes:
        path = tmp_path / "catalogue.csv"
        call_command("export_epreuves", path, *args)
        return path.read_bytes()

    return _export


def rows(content: bytes) -> list[dict[str, str]]:
    text = content.decode("utf-8-sig")
    return list(csv.DictReader(text.splitlines(keepends=True), delimiter=";"))


def test_a_french_spreadsheet_opens_it(export):
    EpreuveFactory(titre="Été ; à l’œuvre", nb_evaluations=3, somme_difficulte=10)
    content = export()
    assert content.startswith(b"\xef\xbb\xbftitre;matiere;")
    assert content.count(b"\xef\xbb\xbf") == 1
    assert content.count(b"\n") == content.count(b"\r\n") == 2
    (row,) = rows(content)
    assert list(row) == [*COLUMNS, *TOLD]
    assert (row["titre"], row["note_difficulte_moyenne"]) == ("Été ; à l’œuvre", "3,33")
    assert (row["annee"], row["semestre"]) == ("2024", "")


@pytest.mark.parametrize("cell", [*HOSTILE, "\t=1", "\r=1", "\n=1", "'=1", "''-1"])
def test_no_cell_is_a_formula_and_each_comes_back_as_it_was(cell):
    assert harmless(cell) == f"'{cell}"
    assert as_written(harmless(cell)) == cell


@pytest.mark.parametrize("cell", ["", "1", "L'été", "'Été'", "a=1", "3,5", "2023-2024", "'"])
def test_a_harmless_cell_is_left_alone(cell):
    assert as_written(cell) == harmless(cell) == cell


def test_no_field_that_people_fill_starts_a_formula(export):
    for number, cell in enumerate(HOSTILE):
        EpreuveFactory(
            titre=cell, description=cell, enseignant_nom=cell, reference_externe=f"{cell}{number}"
        )
    for row in rows(export()):
        assert all(not value.startswith(("=", "+", "-", "@")) for value in row.values()), row


def test_only_those_of_one_state_where_asked(export):
    EpreuveFactory(titre="Non")
    EpreuveFactory(titre="Oui", statut=Statut.SOUMISE)
    assert [row["titre"] for row in rows(export("--statut=soumise"))] == ["Oui"]


def test_a_file_that_is_there_is_left_alone(tmp_path):
    path = tmp_path / "catalogue.csv"
    path.write_text("précieux", encoding="utf-8")
    with pytest.raises(CommandError, match="existe déjà"):
        call_command("export_epreuves", path)
    assert path.read_text(encoding="utf-8") == "précieux"
    with pytest.raises(CommandError, match="No such file"):
        call_command("export_epreuves", tmp_path / "absent" / "x.csv")


def test_a_failure_leaves_no_half_a_file(tmp_path, monkeypatch):
    EpreuveFactory()
    monkeypatch.setattr(Epreuve, "note_pertinence_moyenne", property(lambda self: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        call_command("export_epreuves", tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_as_many_queries_for_a_thousand_as_for_one(django_assert_num_queries):
    EpreuveFactory.create_batch(30)
    with django_assert_num_queries(1):
        assert sum(1 for _ in write_catalogue(Epreuve.objects.all())) == 31


def test_the_whole_catalogue_is_never_in_memory():
    fields = {"matiere": MatiereFactory(), "filiere": None, "description": "x" * 5000}
    Epreuve.objects.bulk_create([Epreuve(titre=f"T{n}", **fields) for n in range(3000)])
    tracemalloc.start()
    written = sum(map(len, write_catalogue(Epreuve.objects.all())))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written > 15_000_000
    assert most < 10_000_000


FACTS = [column for column in COLUMNS if column not in ("fichier", "corrige")]


def facts() -> list[dict[str, object]]:
    """What the catalogue says of each, its files by their bytes."""
    said = []
    for epreuve in Epreuve.objects.order_by("titre"):
        row = {name: getattr(epreuve, name) for name in FACTS}
        row |= {name: getattr(row[name], "code", None) for name in ("matiere", "filiere")}
        row["enseignant"] = epreuve.enseignant and epreuve.enseignant.username
        said.append(row | {"nom": epreuve.enseignant_nom, "sha256": epreuve.sha256})
    return said


@pytest.fixture
def various(rachidi, mme_dossou) -> list[dict[str, object]]:
    """Épreuves whose every field is filled, empty or hostile."""
    for number, cell in enumerate(HOSTILE):
        with_file(EpreuveFactory(titre=cell, description=f"{cell}\r\n;\"'", semestre=number + 1))
    with_file(
        EpreuveFactory(
            titre="Analyse ; « fonctions »",
            filiere=None,
            annee=None,
            annee_academique="",
            niveau="D",
            type_epreuve="td",
            session="rattrapage",
            enseignant=mme_dossou,
            reference_externe="A-1",
            corrige_visible_le=dt.datetime(2099, 6, 15, 7, 0, 1, 5, tzinfo=dt.UTC),
        )
    )
    with_file(EpreuveFactory(titre="Sans compte", enseignant_nom="=M. Œuvré"))
    return facts()


def test_an_export_comes_back_into_an_empty_bank(export, various, tmp_path, settings):
    export()
    Epreuve.objects.all().delete()
    Matiere.objects.all().delete()
    Filiere.objects.exclude(pk__in=User.objects.values("filiere")).delete()
    elsewhere, settings.MEDIA_ROOT = settings.MEDIA_ROOT, str(tmp_path / "autre")
    call_command(
        "import_epreuves",
        tmp_path / "catalogue.csv",
        f"--pdfs={elsewhere}",
        "--create-missing",
        verbosity=0,
    )
    assert facts() == various


def test_an_export_brought_back_changes_nothing(export, various, tmp_path, capsys):
    export()
    call_command("import_epreuves", tmp_path / "catalogue.csv", "--existing=update", verbosity=0)
    assert "0 ajouts, 0 mises à jour, 7 inchangées" in capsys.readouterr().out
    assert facts() == various


def test_an_export_is_corrected_in_a_spreadsheet_and_brought_back(export, various, tmp_path):
    """Without the PDFs: an épreuve is known by the name that its file has in the bank."""
    corrected = export().replace(b"Sans compte", "Corrigé".encode())
    (tmp_path / "catalogue.csv").write_bytes(corrected.decode("utf-8-sig").encode("cp1252"))
    call_command("import_epreuves", tmp_path / "catalogue.csv", "--existing=update", verbosity=0)
    after = {row["sha256"]: row["titre"] for row in facts()}
    for row in various:
        expected = "Corrigé" if row["titre"] == "Sans compte" else row["titre"]
        assert after[row["sha256"]] == expected
