"""How much memory a training takes, by the number of interactions, on a PostgreSQL of its own.

    python -m benchmarks.memory                          1 million
    python -m benchmarks.memory --interactions 10000000  200 a student, whatever their number
    python -m benchmarks.memory --steps export split     these alone

Each step runs in a process of its own; its figure is the peak of its resident memory in MiB, less
what the process held when Django, NumPy and torch were imported (`imports_mib`).

`dataframe`   the former way: all rows in a DataFrame, then the split;
`export`      the snapshot written, slice by slice;
`split`       the snapshot read back, and split;
`neumf`, `hybrid`   `train_model` as a whole, for EPOCHS epochs.

`ratio` is `export` and `split`, the larger, over `dataframe`. Seconds are of this machine.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tqdm import tqdm

from tests.reliability.servers import Bank, Redis, folder, postgres, production, running

PER_STUDENT, EPREUVES, FILIERES, EPOCHS = 200, 5000, 6, 2
HOUR = 3600

# 80 % in one's own filière, the first épreuves of each far more often than its last. Without the
# indexes of the interactions: to read them all, PostgreSQL uses none.
BANK = f"""
set session_replication_role = replica;
select setseed(0.42);
insert into core_filiere (id, code, nom)
    select n, 'F' || n, 'Filière ' || n from generate_series(0, {FILIERES - 1}) n;
insert into core_matiere (id, code, nom) select n, 'M' || n, 'Matière ' || n
    from generate_series(0, 4 * {FILIERES} - 1) n;
insert into core_user (id, password, is_superuser, username, first_name, last_name, email, is_staff,
        is_active, date_joined, role, niveau, filiere_id, personnalisation, token_version,
        version_historique, mot_de_passe_temporaire)
    select n, '!', false, 'e' || n, '', '', '', false, true, now(), 'etudiant',
        'L' || 1 + n / {FILIERES} % 3, n % {FILIERES}, true, 0, 0, false
    from generate_series(1, {{students}}) n;
insert into core_epreuve (id, titre, description, niveau, type_epreuve, session, annee_academique,
        enseignant_nom, fichier, fichier_corrige, taille_octets, taille_corrige_octets, sha256,
        sha256_corrige, statut, date_creation, date_modification, date_publication, nb_vues,
        nb_telechargements, nb_evaluations, somme_difficulte, somme_pertinence, texte_recherche,
        filiere_id, matiere_id, motif_rejet, vignette)
    select n, 'Épreuve ' || n, '', 'L' || 1 + n / {FILIERES} % 3, 'examen', 'normale', '', '', '',
        '', 0, 0, '', '', 'publiee', now(), now(), now(), 0, 0, 0, 0, 0, '', n % {FILIERES},
        n % (4 * {FILIERES}), '', ''
    from generate_series(1, {EPREUVES}) n;
alter table core_interaction drop constraint interaction_une_par_fenetre;
drop index interaction_date, interaction_epreuve_date, core_interaction_user_id_0efdf0d7,
    core_interaction_epreuve_id_f618c072;
insert into core_interaction (type_interaction, contexte, date, fenetre, user_id, epreuve_id)
    select (array['vue', 'vue', 'telechargement'])[1 + floor(3 * random())::int], '',
        now() - random() * interval '730 days', n, user_id,
        least({EPREUVES}, 1 + {FILIERES} * floor({EPREUVES // FILIERES} * power(random(), 2.5))::int
            + case when random() < 0.8 then (user_id + {FILIERES} - 1) % {FILIERES}
                else floor({FILIERES} * random())::int end)
    from (select n, 1 + n % {{students}} as user_id from generate_series(1, {{n}}) n) drawn;
"""  # noqa: S608

# What each process does after its imports; `said` is printed at the end.
SETUP = """
import json, resource, time
from pathlib import Path
import numpy as np, pandas as pd, torch
from django.conf import settings
from apps.recommender import selectors
from apps.recommender.ml import data_loader, snapshot
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.services import training

FOLDER = settings.ENTRAINEMENTS_DIR / "mesure"

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

imports, started, said = peak(), time.perf_counter(), {}
"""
REPORT = """
said |= {"mib": round(peak() - imports), "imports_mib": round(imports)}
said["seconds"] = round(time.perf_counter() - started, 1)
print(json.dumps(said))
"""
DATAFRAME = """
from apps.core.models import Interaction, Statut
shared = Interaction.objects.filter(
    user__is_active=True, user__personnalisation=True, epreuve__statut=Statut.PUBLIEE
)
rows = pd.DataFrame.from_records(
    selectors._dated(shared).iterator(chunk_size=10_000), columns=["user", "item", "worth", "first"]
)
first = pd.to_datetime(rows["first"], utc=True).dt.as_unit("s").astype("int64")
log = data_loader.Interactions(
    *(rows[name].to_numpy("int64") for name in ("user", "item")),
    rows["worth"].to_numpy("float32"),
    np.asarray(first, np.int64),
)
data_loader.split_by_date(log, selectors.metadata())
said["pairs"] = len(log)
"""
EXPORT = """
snapshot.write(FOLDER, selectors.training_pairs(), selectors.metadata())
said["file_mib"] = round(sum(file.stat().st_size for file in FOLDER.iterdir()) / 2**20, 1)
"""
SPLIT = """
data_loader.split_by_date(*snapshot.read(FOLDER))
"""
TRAIN = f"""
training.train(TrainingConfig("{{}}", epochs={EPOCHS}, batch_size={{}}))
"""
STEPS = {
    "dataframe": DATAFRAME,
    "export": EXPORT,
    "split": SPLIT,
    "neumf": TRAIN.format("neumf", 65_536),
    "hybrid": TRAIN.format("hybrid", 256),
}
Figures = dict[str, float]


def measured(bank: Bank, steps: list[str]) -> dict[str, Figures]:
    """Of each step, by its name; `export` comes before `split`, which reads what it wrote."""
    return {
        name: json.loads(bank.python(SETUP + STEPS[name] + REPORT, timeout=10 * HOUR))
        for name in tqdm(steps, disable=not sys.stderr.isatty())
    }


def fill(bank: Bank, n: int) -> None:
    """In the server itself, a table by a statement."""
    bank.manage("migrate", "--verbosity=0")
    bank.sql(BANK.format(students=n // PER_STUDENT, n=n))
    bank.sql("vacuum analyze")


@contextmanager
def scratch(n: int) -> Iterator[Bank]:
    """A bank of `n` interactions, which goes with the block."""
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        servers = stack.enter_context(postgres(place)), stack.enter_context(running(Redis(place)))
        bank = stack.enter_context(production(place, *servers))
        fill(bank, n)
        yield bank


def table(found: dict[str, Figures]) -> str:
    lines = [f"{'étape':<12}{'MiB':>8}{'secondes':>10}"]
    lines += [f"{name:<12}{one['mib']:>8.0f}{one['seconds']:>10.0f}" for name, one in found.items()]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Mesure la mémoire d'un entraînement, étape par étape.",
    )
    parser.add_argument(
        "--interactions", type=int, default=10**6, help="lignes du journal (défaut : %(default)s)"
    )
    parser.add_argument(
        "--steps", nargs="+", choices=STEPS, default=list(STEPS), help="(défaut : toutes)"
    )
    options = parser.parse_args(argv)
    with scratch(options.interactions) as bank:
        found = measured(bank, options.steps)
    print(table(found), file=sys.stderr)
    result: dict[str, object] = {"interactions": options.interactions, "steps": found}
    if {"dataframe", "export", "split"} <= found.keys():
        ours = max(found["export"]["mib"], found["split"]["mib"])
        result["ratio"] = round(ours / found["dataframe"]["mib"], 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
