import datetime as dt
import io
import os
import zipfile
from pathlib import Path

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from apps.core import admin_catalogue
from apps.core.exceptions import Conflict
from apps.core.models import Epreuve, Role, Statut, User
from apps.core.services.stored_files import orphans
from tests.core.test_admin import history
from tests.factories import EpreuveFactory, MatiereFactory, UserFactory, pdf, with_file

pytestmark = pytest.mark.django_db

IMPORT = "/admin/core/epreuve/importer/"
EXPORT = "/admin/core/epreuve/exporter/"
CATALOGUE = "titre;matiere;reference_externe;fichier\nAnalyse 1;ANALYSE;A-1;a.pdf\n"


@pytest.fixture
def desk(rachidi: User) -> Client:
    """Rachidi, signed in to the administration, behind the real check of CSRF."""
    MatiereFactory(code="ANALYSE")
    client = Client(enforce_csrf_checks=True)
    client.force_login(rachidi)
    return client


def packed(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"pdfs/{name}.pdf", content)
    return stream.getvalue()


def post(desk, data):
    desk.get(IMPORT)
    return desk.post(IMPORT, data | {"csrfmiddlewaretoken": desk.cookies["csrftoken"].value})


def send(desk, catalogue=CATALOGUE, archive=None, **more):
    archive = packed(a=pdf("a")) if archive is None else archive
    data = {"catalogue": SimpleUploadedFile("x.csv", catalogue.encode()), "existing": "refuse"}
    if archive:
        data["archive"] = SimpleUploadedFile("x.zip", archive)
    return post(desk, data | more)


def confirm(desk, page):
    return post(desk, {"jeton": page.context["token"]})


def said(answer) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def waiting(settings) -> list[str]:
    folder = Path(settings.MEDIA_ROOT, "imports")
    return os.listdir(folder) if folder.exists() else []


def test_the_rehearsal_says_all_and_writes_nothing(desk, settings):
    page = send(desk)
    assert "Aucune erreur" in page.content.decode()
    assert "Ligne 2 : Analyse 1, ajout" in page.content.decode()
    assert not Epreuve.objects.exists()
    assert len(waiting(settings)) == 1


def test_once_confirmed_the_catalogue_is_in_the_bank_and_in_its_journal(desk, settings):
    answer = confirm(desk, send(desk))
    assert answer.url == reverse("admin:core_epreuve_changelist")
    epreuve = Epreuve.objects.get(reference_externe="A-1")
    assert (epreuve.statut, epreuve.depose_par.username) == (Statut.SOUMISE, "rachidi")
    assert history(epreuve) == [("rachidi", "Déposée : Soumise.")]
    with epreuve.fichier.open() as stored:
        assert stored.read() == pdf("a")
    assert waiting(settings) == []


def test_the_choices_of_the_rehearsal_are_those_of_the_import(desk):
    catalogue = CATALOGUE.replace("ANALYSE", "Topologie")
    confirm(desk, send(desk, catalogue, publish="on", create_missing="on"))
    epreuve = Epreuve.objects.get()
    assert (epreuve.statut, epreuve.matiere.nom) == (Statut.PUBLIEE, "Topologie")
    catalogue = catalogue.replace("Analyse 1", "Analyse I")
    confirm(desk, send(desk, catalogue, existing="update"))
    assert Epreuve.objects.get().titre == "Analyse I"


def test_faults_are_told_by_line_and_column_and_nothing_waits(desk, settings):
    page = send(desk, CATALOGUE + ";X;;b.pdf\n")
    content = page.content.decode()
    assert "Ligne 3, titre : Ce champ est obligatoire." in content
    assert "Ligne 3, matiere : Code inconnu." in content
    assert "Ligne 3, fichier : « b.pdf » n&#x27;est pas parmi les PDF." in content
    assert 'name="jeton"' not in content
    assert waiting(settings) == []


@pytest.mark.parametrize(
    ("catalogue", "archive", "told"),
    [
        ("", None, "Le fichier soumis est vide"),
        ("titre;fichier\n", None, "colonne manque : matiere"),
        (CATALOGUE, b"%PDF-1.7", "pas un ZIP"),
    ],
)
def test_what_cannot_be_read_says_so_and_nothing_waits(desk, settings, catalogue, archive, told):
    assert told in send(desk, catalogue, archive).content.decode().replace("&#x27;", "'")
    assert waiting(settings) == []


def test_an_export_comes_back_without_its_pdfs(desk):
    with_file(EpreuveFactory(titre="Avant"))
    exported = b"".join(desk.get(EXPORT)).decode("utf-8-sig")
    page = send(desk, exported.replace("Avant", "Après"), b"", existing="update")
    confirm(desk, page)
    assert Epreuve.objects.get().titre == "Après"


def test_what_was_sent_is_imported_once(desk):
    page = send(desk)
    confirm(desk, page)
    assert "a déjà servi" in said(confirm(desk, page))
    assert Epreuve.objects.count() == 1


def test_what_somebody_else_sent_is_not_mine_to_confirm(desk, settings):
    page = send(desk)
    other = Client(enforce_csrf_checks=True)
    other.force_login(UserFactory(role=Role.ADMINISTRATEUR))
    assert "a déjà servi" in said(confirm(other, page))
    assert len(waiting(settings)) == 1
    assert not Epreuve.objects.exists()


def test_a_forged_or_old_token_imports_nothing(desk, monkeypatch):
    page = send(desk)
    assert "périmé" in said(post(desk, {"jeton": page.context["token"] + "x"}))
    monkeypatch.setattr(admin_catalogue, "CONFIRM_WITHIN", -1)
    assert "périmé" in said(confirm(desk, page))
    assert not Epreuve.objects.exists()


def test_a_bank_that_changed_since_the_rehearsal_is_left_as_it_is(desk, settings):
    page = send(desk)
    known = with_file(EpreuveFactory(), pdf("a"))
    content = confirm(desk, page).content.decode()
    assert f"déjà dans la banque : épreuve {known.pk}" in content
    assert Epreuve.objects.count() == 1
    assert waiting(settings) == []


def test_a_conflict_at_the_last_moment_is_told(desk, monkeypatch):
    page = send(desk)

    def late(*args, **kwargs):
        raise Conflict("Trop tard.")

    monkeypatch.setattr(admin_catalogue, "import_epreuves", late)
    assert said(confirm(desk, page)) == "Rien n'a été écrit. Trop tard."


def test_a_zip_larger_than_a_pdf_may_come_in_but_not_any(desk, settings):
    settings.TAILLE_MAX_OCTETS = 1_000_000
    settings.IMPORT_ARCHIVE_MAX_OCTETS = 4_000_000
    filler = os.urandom(3_000_000)
    page = send(desk, archive=packed(a=pdf("a"), autre=filler))
    assert page.context["report"].unnamed == 1
    answer = send(desk, archive=packed(a=pdf("a"), autre=filler + filler))
    assert (answer.status_code, answer.url) == (302, IMPORT)
    assert "dépasse 3 Mo" in said(answer)


def test_a_catalogue_has_the_size_of_a_text(desk, settings):
    settings.TAILLE_MAX_OCTETS = 1_000
    page = send(desk, CATALOGUE + "x" * 2_000)
    assert "Ce catalogue dépasse" in page.content.decode()


def test_without_a_csrf_token_nothing_is_read(desk):
    assert desk.post(IMPORT, {"jeton": "x"}).status_code == 403


@pytest.mark.parametrize("url", [IMPORT, EXPORT])
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("who", [None, "awa", "mme_dossou"])
def test_administrators_only(who, method, url, request):
    client = Client()
    if who:
        client.force_login(request.getfixturevalue(who))
    answer = getattr(client, method)(url)
    assert (answer.status_code, answer.url.split("?")[0]) == (302, reverse("admin:login"))


def test_the_list_offers_both_pages(desk):
    content = desk.get(reverse("admin:core_epreuve_changelist")).content.decode()
    assert IMPORT in content
    assert EXPORT in content


def test_those_selected_go_out_and_no_others(desk):
    chosen, _ = EpreuveFactory(titre="Oui"), EpreuveFactory(titre="Non")
    url = reverse("admin:core_epreuve_changelist")
    desk.get(IMPORT)
    answer = desk.post(
        url,
        {
            "action": "export_selected",
            "_selected_action": [chosen.pk],
            "csrfmiddlewaretoken": desk.cookies["csrftoken"].value,
        },
    )
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert ".csv" in answer["Content-Disposition"]
    content = b"".join(answer).decode("utf-8-sig")
    assert "Oui;" in content
    assert "Non;" not in content


def test_what_nobody_confirms_is_an_orphan_like_another(desk, settings):
    send(desk)
    (key,) = waiting(settings)
    found = orphans(settled_after=dt.timedelta(0))
    assert set(found) == {f"imports/{key}/catalogue.csv", f"imports/{key}/documents.zip"}
    assert orphans() == []
