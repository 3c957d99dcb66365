"""docs/integration.md, run: its JavaScript on Node, against a real server."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from apps.core.models import Role
from apps.core.services.vignettes import draw_vignette
from tests.factories import (
    EpreuveFactory,
    FiliereFactory,
    MatiereFactory,
    UserFactory,
    pdf,
    with_file,
)

pytestmark = [pytest.mark.requires("node"), pytest.mark.django_db(transaction=True)]

PAGE = (Path(__file__).parent.parent / "docs" / "integration.md").read_text(encoding="utf-8")
PROGRAM = "".join(re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL))
SAID = re.findall(r"console\.log\(.*\); // (.*)$", PROGRAM, re.MULTILINE)


@pytest.fixture
def bank() -> None:
    """What the page finds: two accounts of the demonstration, a shelf of analysis, one file."""
    filiere, analyse = FiliereFactory(code="MATH"), MatiereFactory(code="ANALYSE")
    UserFactory(username="etudiant1", password="password123", filiere=filiere, niveau="L2")
    UserFactory(username="enseignant1", password="password123", role=Role.ENSEIGNANT, niveau="")
    for n in range(1, 26):
        EpreuveFactory(titre=f"Analyse : sujet {n:02}", matiere=analyse, niveau="L1")
    EpreuveFactory(titre="Équations différentielles", matiere=MatiereFactory(code="EDO"))
    filed = EpreuveFactory(titre="Celle qui a un fichier", matiere=MatiereFactory(code="EDO"))
    draw_vignette(with_file(filed).pk)


def test_the_program_of_the_page_says_what_the_page_says(bank, live_server, tmp_path):
    assert len(SAID) >= 12
    script = tmp_path / "page.mjs"
    script.write_text(PROGRAM, encoding="utf-8")
    exam = tmp_path / "examen.pdf"
    exam.write_bytes(pdf("examen de topologie"))
    photo = tmp_path / "page.jpg"
    Image.new("RGB", (600, 800), "white").save(photo)
    done = subprocess.run(
        ["node", script],
        env={
            "BASE": live_server.url,
            "PDF": str(exam),
            "PHOTO": str(photo),
            "PATH": os.environ["PATH"],
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == SAID, done.stderr
    assert done.returncode == 0, done.stderr
