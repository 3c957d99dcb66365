from itertools import islice

from django.db import migrations

from apps.core.search import TOLERANCE_MIN
from apps.core.text import words

BATCH = 500


def index(apps, schema_editor):
    """As services/search_index.py does; the subjects wait for `extract_texts`."""
    epreuves, textes, mots = (
        apps.get_model("core", name).objects.using(schema_editor.connection.alias)
        for name in ("Epreuve", "TexteEpreuve", "Mot")
    )
    rows = epreuves.only("titre", "texte_recherche", "fichier").iterator(chunk_size=BATCH)
    while batch := [(row, words(row.texte_recherche)) for row in islice(rows, BATCH)]:
        textes.bulk_create(textes.model(**_texte(row, fiche)) for row, fiche in batch)
        known = {word for _, fiche in batch for word in fiche}
        spelt = sorted(w for w in known if len(w) >= TOLERANCE_MIN - 1 and w.isalpha())
        mots.bulk_create([mots.model(texte=word) for word in spelt], ignore_conflicts=True)


def _texte(row, fiche):
    return {
        "epreuve_id": row.pk,
        "etat": "en_attente" if row.fichier else "sans_texte",
        "titre": words(row.titre),
        "fiche": fiche,
        "sujet": (),
    }


class Migration(migrations.Migration):
    dependencies = [("core", "0008_search")]

    operations = [migrations.RunPython(index, migrations.RunPython.noop)]
