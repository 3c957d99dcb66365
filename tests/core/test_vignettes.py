from io import BytesIO, StringIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django_tasks_db.models import DBTaskResult
from fpdf import FPDF
from PIL import Image

from apps.core.first_page import BYTES_MAX, HEIGHT, WIDTH
from apps.core.models import Epreuve, Statut
from apps.core.review import Action
from apps.core.services import vignettes
from apps.core.services.epreuves import deposit_epreuve, edit_epreuve
from apps.core.services.files import read_pdf
from apps.core.services.vignettes import draw_vignette
from tests.factories import EpreuveFactory, MatiereFactory, UserFactory, moved, pdf, with_file

pytestmark = pytest.mark.django_db


def page(width=595, height=842, noise=0):
    """A PDF of one page, red in its upper half; under it, noise of so many pixels a side."""
    made = FPDF(unit="pt", format=(width, height))
    made.add_page()
    made.set_fill_color(255, 0, 0)
    made.rect(0, 0, width, height / 2, style="F")
    if noise:
        made.image(Image.effect_noise((noise, noise), 200), x=0, y=0, w=width, h=height)
    return bytes(made.output())


def drawn(content):
    epreuve = with_file(EpreuveFactory(), content)
    assert draw_vignette(epreuve.pk)
    epreuve.refresh_from_db()
    return epreuve


def picture(epreuve):
    with Image.open(epreuve.vignette.path) as image:
        return image.format, image.convert("RGB")


def on_disk(settings):
    root = Path(settings.MEDIA_ROOT)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def read(content):
    return read_pdf(SimpleUploadedFile("sujet.pdf", content))


# --- Drawing -----------------------------------------------------------------------------


def test_a_vignette_shows_the_first_page():
    kind, image = picture(drawn(page()))
    assert (kind, image.size) == ("WEBP", (WIDTH, HEIGHT))
    above, below = image.getpixel((200, 100)), image.getpixel((200, 500))
    assert (above[0] > 230, above[1] < 40, min(below) > 230) == (True, True, True)


@pytest.mark.parametrize(
    "content", [page(), page(2000, 200), page(200, 2000), page(noise=900), page(3, 14_000)]
)
def test_a_vignette_stays_small_whatever_the_page(content):
    epreuve = drawn(content)
    assert 0 < epreuve.vignette.size <= BYTES_MAX
    _, image = picture(epreuve)
    assert (image.width <= WIDTH, image.height <= HEIGHT) == (True, True)


def test_a_deposit_is_drawn_behind_it_and_keeps_its_date(
    mme_dossou, settings, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        epreuve = deposit_epreuve(
            auteur=mme_dossou,
            fichiers={"fichier": read(page())},
            titre="Topologie",
            matiere=MatiereFactory(),
        )
    row = Epreuve.objects.get()
    assert on_disk(settings) == sorted([row.fichier.name, row.vignette.name])
    assert row.date_modification == epreuve.date_modification


def test_the_task_waits_in_the_transaction_of_the_deposit(mme_dossou, settings):
    settings.TACHES_EN_ARRIERE_PLAN = True
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    epreuve = with_file(EpreuveFactory())
    edit_epreuve(epreuve, par=UserFactory(), fichiers={}, titre="Autre")
    edit_epreuve(epreuve, par=UserFactory(), fichiers={"fichier_corrige": read(pdf("corrigé"))})
    assert not DBTaskResult.objects.exists()
    edit_epreuve(epreuve, par=UserFactory(), fichiers={"fichier": read(pdf("neuf"))})
    task = DBTaskResult.objects.get(task_path__endswith=".draw_vignette_task")
    assert task.args_kwargs["args"][0] == epreuve.pk


def test_a_replaced_sujet_takes_its_vignette_along(settings, django_capture_on_commit_callbacks):
    epreuve = drawn(page())
    old = epreuve.vignette.name
    with django_capture_on_commit_callbacks() as callbacks:
        changed = edit_epreuve(epreuve, par=UserFactory(), fichiers={"fichier": read(pdf("neuf"))})
        assert not changed.vignette
    for callback in callbacks:
        callback()
    row = Epreuve.objects.get()
    assert row.vignette.name not in {"", old}
    assert on_disk(settings) == sorted([row.fichier.name, row.vignette.name])


def test_a_new_corrige_leaves_the_vignette():
    epreuve = drawn(page())
    edit_epreuve(epreuve, par=UserFactory(), fichiers={"fichier_corrige": read(pdf("corrigé"))})
    assert Epreuve.objects.get().vignette == epreuve.vignette


def test_a_vignette_drawn_again_replaces_the_first(settings, django_capture_on_commit_callbacks):
    epreuve = drawn(page())
    with django_capture_on_commit_callbacks(execute=True):
        assert draw_vignette(epreuve.pk)
    row = Epreuve.objects.get()
    assert on_disk(settings) == sorted([row.fichier.name, row.vignette.name])


def test_a_sujet_replaced_while_it_is_drawn_gets_no_vignette_of_the_old_one(settings, monkeypatch):
    epreuve = with_file(EpreuveFactory(), page())
    real = vignettes.run_limited

    def slow(*args, **limits):
        Epreuve.objects.update(fichier="epreuves/neuf.pdf")
        return real(*args, **limits)

    monkeypatch.setattr(vignettes, "run_limited", slow)
    assert draw_vignette(epreuve.pk) is False
    assert Epreuve.objects.get().vignette == ""
    assert on_disk(settings) == [epreuve.fichier.name]


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        (pdf(), {"MEMORY": 32 * 1024 * 1024}),
        (b"%PDF-1.4\nnothing\n%%EOF", {}),
        (page(noise=900), {"TIMEOUT_S": 0}),
    ],
)
def test_what_cannot_be_drawn_is_told_and_does_no_harm(
    api, rachidi, settings, monkeypatch, caplog, content, limit
):
    for name, value in limit.items():
        monkeypatch.setattr(vignettes, name, value)
    epreuve = with_file(EpreuveFactory(), content)
    assert draw_vignette(epreuve.pk) is False
    assert f"Pas de vignette pour l'épreuve {epreuve.pk}" in caplog.text
    assert "vignette" not in api(rachidi).get(f"/api/epreuves/{epreuve.pk}/").json()
    assert on_disk(settings) == [epreuve.fichier.name]


def test_what_is_gone_is_not_drawn(caplog):
    lost = with_file(EpreuveFactory())
    Path(lost.fichier.path).unlink()
    assert [draw_vignette(pk) for pk in (EpreuveFactory().pk, lost.pk, 999)] == [False] * 3


def test_the_command_draws_those_that_are_missing():
    there, missing = drawn(page()), with_file(EpreuveFactory())
    with_file(EpreuveFactory(), b"%PDF-1.4\nnothing\n%%EOF")
    EpreuveFactory()
    call_command("draw_vignettes", stdout=(said := StringIO()))
    assert said.getvalue() == "1 vignettes dessinées, 1 impossibles.\n"
    assert Epreuve.objects.get(pk=there.pk).vignette == there.vignette
    assert Epreuve.objects.get(pk=missing.pk).vignette


# --- Showing -----------------------------------------------------------------------------


def url_of(client, epreuve):
    return client.get(f"/api/epreuves/{epreuve.pk}/").json()["vignette"]


def test_the_detail_gives_the_address_once_there_is_a_vignette(anyone):
    epreuve = with_file(EpreuveFactory(), page())
    assert "vignette" not in anyone.get(f"/api/epreuves/{epreuve.pk}/").json()
    draw_vignette(epreuve.pk)
    answer = anyone.get(url_of(anyone, epreuve), HTTP_ACCEPT="image/avif,image/webp,*/*;q=0.8")
    content = b"".join(answer)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/webp")
    assert Image.open(BytesIO(content)).size == (WIDTH, HEIGHT)
    assert answer["Content-Length"] == str(len(content))


def test_a_vignette_is_kept_by_the_browser_and_never_asked_again(anyone):
    url = url_of(anyone, drawn(page()))
    answer = anyone.get(url, HTTP_ACCEPT="image/webp")
    b"".join(answer)
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    again = anyone.get(url, HTTP_IF_NONE_MATCH=answer["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert anyone.get(url.replace("/vignette/", "/vignette/x")).status_code == 404


def test_another_picture_has_another_address(anyone, django_capture_on_commit_callbacks):
    epreuve = drawn(page())
    before = url_of(anyone, epreuve)
    with django_capture_on_commit_callbacks(execute=True):
        edit_epreuve(epreuve, par=UserFactory(), fichiers={"fichier": read(pdf("neuf"))})
    assert url_of(anyone, epreuve) != before
    assert anyone.get(before).status_code == 404


def test_a_vignette_is_seen_by_who_sees_the_epreuve(
    api, anyone, awa, mme_dossou, rachidi, settings
):
    epreuve = with_file(EpreuveFactory(depose_par=mme_dossou, statut=Statut.SOUMISE), page())
    draw_vignette(epreuve.pk)
    url = url_of(api(mme_dossou), epreuve)
    for client, status in ((anyone, 404), (api(awa), 404), (api(mme_dossou), 200)):
        answer = client.get(url)
        b"".join(answer)
        assert answer.status_code == status
    moved(epreuve, Action.PUBLIER)
    settings.CATALOGUE_PUBLIC = False
    assert anyone.get(url).status_code == 401
    moved(epreuve, Action.ARCHIVER)
    assert api(awa).get(url).status_code == 404


def test_a_vignette_lost_from_the_disk_is_404(anyone):
    epreuve = drawn(page())
    Path(epreuve.vignette.path).unlink()
    assert anyone.get(url_of(anyone, epreuve)).status_code == 404


def test_nginx_sends_vignettes_too(anyone, settings):
    settings.ACCEL_PREFIXE = "/fichiers-internes/"
    epreuve = drawn(page())
    answer = anyone.get(url_of(anyone, epreuve))
    assert answer["X-Accel-Redirect"] == f"/fichiers-internes/{epreuve.vignette.name}"
    assert answer["Content-Type"] == "image/webp"
