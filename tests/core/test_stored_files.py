import os
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command

from apps.core.models import Statut
from apps.core.services.epreuves import edit_epreuve
from apps.core.services.files import read_pdf
from apps.core.services.vignettes import draw_vignette
from tests.factories import EpreuveFactory, UserFactory, pdf, with_file

pytestmark = pytest.mark.django_db

OLD = time.time() - 25 * 3600


def aged(settings):
    for path in Path(settings.MEDIA_ROOT).rglob("*"):
        os.utime(path, (OLD, OLD))


def run(*options):
    call_command("remove_orphan_files", *options, stdout=(said := StringIO()))
    return said.getvalue().splitlines()


def test_what_an_epreuve_names_stays_whatever_its_statut(settings):
    for statut in Statut:
        epreuve = with_file(EpreuveFactory(statut=statut))
        corrige = read_pdf(ContentFile(pdf(f"corrigé {statut}")))
        edit_epreuve(epreuve, par=UserFactory(), fichiers={"fichier_corrige": corrige})
        assert draw_vignette(epreuve.pk)
    aged(settings)
    kept = sorted(path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file())
    assert len(kept) == 3 * len(Statut)
    assert run() == ["0 fichiers orphelins effacés."]
    assert all(path.exists() for path in kept)


def test_what_no_epreuve_names_goes_after_a_day(settings):
    epreuve = with_file(EpreuveFactory())
    places = ("epreuves/ab/x.pdf", "vignettes/ab/x.webp", "epreuves/y.pdf")
    left = sorted(default_storage.save(name, ContentFile(b"x")) for name in places)
    assert run("--dry-run") == ["0 fichiers orphelins à effacer."]
    aged(settings)
    assert run("--dry-run") == [*left, "3 fichiers orphelins à effacer."]
    assert run() == [*left, "3 fichiers orphelins effacés."]
    assert [default_storage.exists(name) for name in left] == [False] * 3
    assert default_storage.exists(epreuve.fichier.name)


def test_what_others_put_into_the_folder_is_not_ours_to_delete(settings):
    default_storage.save("lisez-moi.txt", ContentFile(b"x"))
    aged(settings)
    assert run() == ["0 fichiers orphelins effacés."]
    assert default_storage.exists("lisez-moi.txt")


def test_an_empty_bank_has_no_folder_to_look_into():
    assert run() == ["0 fichiers orphelins effacés."]
