"""The PDFs of the demonstration bank: one page each, the same bytes under the same seed."""

from datetime import UTC, datetime

import numpy as np
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from apps.recommender.ml.curriculum import FILIERES, MATIERES, Exercise
from apps.recommender.ml.synthetic import Paper

INSTITUTE = "Institut de mathématiques et de sciences physiques"
INSTRUCTIONS = {
    "examen": "Durée : 3 heures. Documents et téléphones interdits, calculatrice non programmable "
    "autorisée. Toute réponse doit être justifiée.",
    "partiel": "Durée : 2 heures. Documents interdits. Les exercices sont indépendants.",
    "devoir": "Durée : 2 heures. Une feuille manuscrite est autorisée. Soignez la rédaction.",
    "td": "À préparer avant la séance. Les exercices peuvent être traités en groupe.",
}


def sujet(paper: Paper, *, seed: int) -> bytes:
    """The questions of an épreuve."""
    nom = paper.course.nom
    page = _page(paper, paper.titre, INSTRUCTIONS[paper.type_epreuve])
    _section(
        page,
        "Exercice 1 : questions de cours",
        f"Énoncer avec précision deux résultats du cours « {nom} », puis démontrer l'un d'eux. "
        "Donner un exemple où ses hypothèses sont vérifiées et un autre où elles ne le sont pas.",
    )
    for number, (exercise, values) in enumerate(_drawn(paper, seed), start=2):
        _section(page, f"Exercice {number}", exercise.question.format(**values))
    return bytes(page.output())


def corrige(paper: Paper, *, seed: int) -> bytes:
    """The answers to the questions that `sujet` asks under the same seed."""
    page = _page(paper, f"Corrigé. {paper.titre}", "Éléments de correction.")
    _section(
        page, "Exercice 1 : questions de cours", "Voir le cours ; toute preuve correcte est admise."
    )
    for number, (exercise, values) in enumerate(_drawn(paper, seed), start=2):
        _section(page, f"Exercice {number}", exercise.answer.format(**values))
    return bytes(page.output())


def _drawn(paper: Paper, seed: int) -> list[tuple[Exercise, dict[str, int]]]:
    rng = np.random.default_rng([seed, *paper.reference.encode()])
    exercises = paper.course.exercises
    return [
        (exercises[row], dict(zip("abn", rng.integers(2, 10, size=3).tolist(), strict=True)))
        for row in rng.permutation(len(exercises))
    ]


def _page(paper: Paper, title: str, instructions: str) -> FPDF:
    page = FPDF()
    page.set_creation_date(datetime.fromtimestamp(paper.publication, UTC))
    page.set_title(title)
    page.set_lang("fr")
    page.add_page()
    filiere = FILIERES[paper.course.filiere] if paper.course.filiere else "toutes filières"
    header = f"{INSTITUTE}\n{MATIERES[paper.course.matiere]}, {paper.niveau}, {filiere}"
    _text(page, header, size=10)
    page.ln(6)
    _text(page, title, size=15, style="B", align="C")
    page.ln(4)
    _text(page, instructions, size=10, style="I")
    page.set_y(-25)
    _text(page, f"Épreuve de démonstration {paper.reference}", size=8, align="C")
    page.set_y(72)
    return page


def _section(page: FPDF, heading: str, body: str) -> None:
    page.ln(4)
    _text(page, heading, size=12, style="B")
    _text(page, body, size=11)


def _text(page: FPDF, text: str, *, size: int, style: str = "", align: str = "L") -> None:
    page.set_font("Helvetica", style, size)
    glued = text.replace(" :", "\xa0:").replace(" ;", "\xa0;").replace("« ", "«\xa0")
    glued = glued.replace(" »", "\xa0»")
    page.multi_cell(0, size / 2, glued, align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
