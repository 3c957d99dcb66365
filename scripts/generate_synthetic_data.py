#!/usr/bin/env python3
"""The data of `manage.py generate_data` as CSV files, from the same generator, without Django."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from apps.recommender.ml import synthetic  # noqa: E402
from apps.recommender.ml.curriculum import FILIERES, MATIERES  # noqa: E402
from apps.recommender.ml.synthetic import KINDS, Bank, ImpossibleBank  # noqa: E402

DESCRIPTION = """\
Écrit en CSV les données que `manage.py generate_data` met en base : même générateur, même graine,
mêmes données. Trois fichiers : interactions.csv et epreuves.csv, que `manage.py
import_interactions` relit tels quels, et etudiants.csv, qui dit qui sont ces personnes."""


def main() -> None:
    options = _options()
    try:
        bank = synthetic.generate(
            options.users, options.epreuves, options.interactions, seed=options.seed
        )
    except ImpossibleBank as error:
        sys.exit(str(error))
    options.output.mkdir(parents=True, exist_ok=True)
    for name, table in _tables(bank).items():
        path = options.output / f"{name}.csv"
        table.to_csv(path, index=False)
        print(f"{path} : {len(table)} lignes")
    print(
        "Pour les mettre dans la banque :\n"
        f"  python manage.py import_interactions {options.output / 'interactions.csv'} "
        f"--epreuves {options.output / 'epreuves.csv'} --create-missing"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=200, help="étudiants (200)")
    parser.add_argument("--epreuves", type=int, default=150, help="épreuves (150)")
    parser.add_argument("--interactions", type=int, default=15000, help="interactions (15000)")
    parser.add_argument("--seed", type=int, default=42, help="graine du tirage (42)")
    parser.add_argument(
        "--output", type=Path, default=Path("data/synthetic"), help="dossier (data/synthetic)"
    )
    return parser.parse_args()


def _tables(bank: Bank) -> dict[str, pd.DataFrame]:
    return {
        "etudiants": pd.DataFrame(
            [(s.username, s.prenom, s.nom, FILIERES[s.filiere], s.niveau) for s in bank.students],
            columns=["user_id", "prenom", "nom", "filiere", "niveau"],
        ),
        "epreuves": pd.DataFrame(
            {
                "epreuve_id": paper.reference,
                "titre": paper.titre,
                "annee": paper.annee,
                "matiere": MATIERES[paper.course.matiere],
                "filiere": FILIERES.get(paper.course.filiere or "", ""),
                "niveau": paper.niveau,
                "type_epreuve": paper.type_epreuve,
                "session": paper.session,
            }
            for paper in bank.papers
        ),
        "interactions": _interactions(bank),
    }


def _interactions(bank: Bank) -> pd.DataFrame:
    events = bank.events
    rated = events.note_pertinence > 0
    notes = {
        "note_difficulte": events.note_difficulte,
        "note_pertinence": events.note_pertinence,
    }
    return pd.DataFrame(
        {
            "user_id": np.array([student.username for student in bank.students])[events.user_idx],
            "epreuve_id": np.array([paper.reference for paper in bank.papers])[events.item_idx],
            "type_interaction": np.array(KINDS)[events.kind],
            "timestamp": events.timestamps,
            **{name: pd.Series(note, dtype="Int64").where(rated) for name, note in notes.items()},
        }
    )


if __name__ == "__main__":
    main()
