import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from django.core.management import call_command

from apps.core.models import Epreuve, Evaluation, Interaction, User
from apps.recommender.ml.synthetic import generate

ROOT = Path(__file__).parent.parent.parent
SMALL = ("--users=20", "--epreuves=30", "--interactions=600")


def run(*options: str, output: Path) -> subprocess.CompletedProcess[str]:
    """As a person would, from the root, with no Django setting in sight."""
    return subprocess.run(
        [sys.executable, "scripts/generate_synthetic_data.py", *options, f"--output={output}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "new"
    done = run(*SMALL, output=folder)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("etudiants", "epreuves", "interactions"):
        assert f"{folder / name}.csv : " in done.stdout
    assert f"manage.py import_interactions {folder / 'interactions.csv'} --epreuves" in done.stdout
    return folder


def test_the_tables_are_the_generated_bank(folder):
    bank = generate(20, 30, 600)
    students = pd.read_csv(folder / "etudiants.csv")
    assert list(students.columns) == ["user_id", "prenom", "nom", "filiere", "niveau"]
    assert students.user_id.tolist() == [student.username for student in bank.students]
    epreuves = pd.read_csv(folder / "epreuves.csv")
    assert epreuves.epreuve_id.tolist() == [paper.reference for paper in bank.papers]
    assert epreuves.titre.tolist() == [paper.titre for paper in bank.papers]
    interactions = pd.read_csv(folder / "interactions.csv")
    assert interactions.timestamp.tolist() == bank.events.timestamps.tolist()
    notes = interactions.note_pertinence
    assert notes.fillna(0).tolist() == bank.events.note_pertinence.tolist()
    assert (notes.notna() == (interactions.type_interaction == "evaluation")).all()


@pytest.mark.django_db
def test_import_interactions_reads_them_with_no_further_option(folder, capsys):
    call_command(
        "import_interactions",
        str(folder / "interactions.csv"),
        f"--epreuves={folder / 'epreuves.csv'}",
        "--create-missing",
    )
    assert "600 lues, 600 importées, 0 repliées, 0 refusées" in capsys.readouterr().out
    assert Interaction.objects.count() == 600
    assert User.objects.count() == 20
    assert Evaluation.objects.count() == (generate(20, 30, 600).events.note_pertinence > 0).sum()
    epreuve = Epreuve.objects.get(reference_externe="SYN-0001")
    paper = generate(20, 30, 600).papers[0]
    assert (epreuve.titre, epreuve.annee, epreuve.niveau, epreuve.type_epreuve) == (
        paper.titre,
        paper.annee,
        paper.niveau,
        paper.type_epreuve,
    )


def test_impossible_numbers_are_one_sentence(tmp_path):
    done = run("--users=20", "--epreuves=3", output=tmp_path / "none")
    assert done.returncode == 1
    assert done.stderr.startswith("3 épreuves : demandez-en de 30")
    assert not (tmp_path / "none").exists()
