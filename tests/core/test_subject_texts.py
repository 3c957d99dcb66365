import resource
import zlib
from io import BytesIO, StringIO

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django_tasks_db.models import DBTaskResult

from apps.core.models import Epreuve, EtatTexte, Statut, TexteEpreuve
from apps.core.pdf_text import TEXT_MAX, mended, read_text
from apps.core.services import subject_texts
from apps.core.services.epreuves import deposit_epreuve, edit_epreuve
from apps.core.services.files import read_pdf
from apps.core.services.subject_texts import extract_text, extract_texts
from tests.core.test_catalogue import titles
from tests.core.test_files import deposit, upload
from tests.factories import EpreuveFactory, MatiereFactory, pdf, text_pdf, with_file

pytestmark = pytest.mark.django_db

CAUCHY = text_pdf("Énoncer le théorème de Cauchy-Lipschitz.")


def etat(epreuve):
    return TexteEpreuve.objects.get(pk=epreuve.pk).etat


def page_of(content):
    """A PDF of one page that draws `content`, compressed."""
    drawn = zlib.compress(content, 9)
    return b"".join(
        (
            b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n",
            b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n",
            b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<<",
            b"/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>endobj\n",
            b"4 0 obj<</Filter/FlateDecode/Length %d>>stream\n" % len(drawn),
            drawn,
            b"\nendstream endobj\ntrailer<</Size 5/Root 1 0 R>>\nstartxref\n0\n%%EOF",
        )
    )


# --- From a deposit to a search ----------------------------------------------------------


def test_a_deposited_subject_is_found_by_its_text_as_soon_as_it_is_committed(
    api, rachidi, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        answer = deposit(api(rachidi), fichier=upload(CAUCHY), statut="publiee")
    assert answer.status_code == 201
    assert etat(Epreuve.objects.get()) == EtatTexte.FAIT
    assert titles(api(None), search="theoreme lipschitz") == ["Topologie"]


def test_where_tasks_wait_the_request_only_writes_one(api, rachidi, settings):
    settings.TACHES_EN_ARRIERE_PLAN = True
    settings.TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    deposit(api(rachidi), fichier=upload(CAUCHY))
    epreuve = Epreuve.objects.get()
    assert etat(epreuve) == EtatTexte.EN_ATTENTE
    task = DBTaskResult.objects.get(task_path__endswith=".extract_text_task")
    assert task.args_kwargs["args"][0] == epreuve.pk
    task.task.call(*task.args_kwargs["args"])
    assert etat(epreuve) == EtatTexte.FAIT


def test_a_replaced_subject_takes_its_words_away(
    anyone, mme_dossou, django_capture_on_commit_callbacks
):
    epreuve = with_file(EpreuveFactory(), CAUCHY)
    extract_text(epreuve.pk)
    assert titles(anyone, search="lipschitz")
    with django_capture_on_commit_callbacks() as callbacks:
        edit_epreuve(
            epreuve, par=mme_dossou, fichiers={"fichier": read_pdf(upload(text_pdf("Euclide")))}
        )
    assert etat(epreuve) == EtatTexte.EN_ATTENTE
    assert titles(anyone, search="lipschitz") == []
    for callback in callbacks:
        callback()
    assert len(titles(anyone, search="euclide")) == 1


def test_the_corrige_is_never_read(anyone, django_capture_on_commit_callbacks, mme_dossou):
    with django_capture_on_commit_callbacks(execute=True):
        files = {"fichier": text_pdf("Cauchy"), "fichier_corrige": text_pdf("Lipschitz")}
        epreuve = deposit_epreuve(
            auteur=mme_dossou,
            fichiers={name: read_pdf(upload(content)) for name, content in files.items()},
            statut=Statut.PUBLIEE,
            titre="Examen",
            matiere=MatiereFactory(),
        )
        edit_epreuve(
            epreuve,
            par=mme_dossou,
            fichiers={"fichier_corrige": read_pdf(upload(text_pdf("Euclide")))},
        )
    assert titles(anyone, search="cauchy") == ["Examen"]
    for search in ("lipschitz", "euclide"):
        assert titles(anyone, search=search) == []


def test_what_is_read_of_a_subject_that_was_replaced_meanwhile_is_dropped(monkeypatch, mme_dossou):
    epreuve = with_file(EpreuveFactory(), CAUCHY)
    real = subject_texts._read

    def replaced_meanwhile(row):
        found = real(row)
        edit_epreuve(
            row, par=mme_dossou, fichiers={"fichier": read_pdf(upload(text_pdf("Euclide")))}
        )
        return found

    monkeypatch.setattr(subject_texts, "_read", replaced_meanwhile)
    extract_text(epreuve.pk)
    assert etat(epreuve) == EtatTexte.EN_ATTENTE
    assert not Epreuve.objects.matching("lipschitz").exists()


# --- Files that mean harm, or are none ---------------------------------------------------

INFLATED = b"BT /F 9 Tf (" + b"x" * 200_000_000 + b") Tj ET"
ENDLESS = b"BT /F 9 Tf " + b"1 0 0 1 3 3 Tm (x) Tj " * 3_000_000 + b"ET"
SELF = CAUCHY.replace(b"/Kids [3 0 R", b"/Kids [1 0 R")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(page_of(INFLATED), id="inflated"),
        pytest.param(page_of(ENDLESS), id="endless"),
        pytest.param(SELF, id="a tree in a circle"),
        pytest.param(CAUCHY[: len(CAUCHY) // 2], id="truncated"),
        pytest.param(b"%PDF-1.4\n" + bytes(range(256)) * 99 + b"%%EOF", id="noise"),
        pytest.param(b"", id="empty"),
        pytest.param(pdf(), id="a scan"),
    ],
)
def test_a_bomb_or_a_broken_file_has_no_text_and_harms_nothing(anyone, monkeypatch, content):
    monkeypatch.setattr(subject_texts, "SECONDS", 3)
    epreuve = with_file(EpreuveFactory(titre="Piège"), content or b" ")
    if not content:
        default_storage.delete(epreuve.fichier.name)
        default_storage.save(epreuve.fichier.name, BytesIO(b""))
    before = Epreuve.objects.values().get()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not extract_text(epreuve.pk)
    assert etat(epreuve) == EtatTexte.SANS_TEXTE
    assert Epreuve.objects.values().get() == before
    assert titles(anyone, search="piege") == ["Piège"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 50_000  # kB


def test_a_lost_file_has_no_text(caplog):
    epreuve = with_file(EpreuveFactory())
    default_storage.delete(epreuve.fichier.name)
    assert not extract_text(epreuve.pk)
    assert etat(epreuve) == EtatTexte.SANS_TEXTE
    assert f"Épreuve {epreuve.pk} sans texte" in caplog.text


def test_a_long_subject_is_read_up_to_a_bound():
    pages = text_pdf(*(f"page{n} " + "mot " * 4000 for n in range(12)))
    text = read_text(BytesIO(pages)).decode()
    assert "page0" in text
    assert "page11" not in text
    assert len(text) <= TEXT_MAX


@pytest.mark.parametrize(
    ("drawn", "text"),
    [
        ("´equations diff´erentielles", "equations differentielles"),
        ("ˆıle, ` a c¸a", "ile, a ca"),
        ("diffé-\nrentielles", "différentielles"),
        ("2-\n3 et -\n", "2-\n3 et -\n"),
    ],
)
def test_what_tex_takes_apart_is_put_together(drawn, text):
    assert mended(drawn) == text


# --- The command -------------------------------------------------------------------------


def test_the_command_reads_what_waits_or_everything():
    waiting, done = (with_file(EpreuveFactory(), content) for content in (CAUCHY, pdf()))
    EpreuveFactory(titre="Sans fichier")
    TexteEpreuve.objects.filter(pk=waiting.pk).update(etat=EtatTexte.EN_ATTENTE)
    TexteEpreuve.objects.filter(pk=done.pk).update(etat=EtatTexte.FAIT)

    def run(*options):
        out = StringIO()
        call_command("extract_texts", *options, verbosity=0, stdout=out)
        return out.getvalue().strip()

    assert run() == "Sujets lus : 1, dont sans texte : 0."
    assert run() == "Sujets lus : 0, dont sans texte : 0."
    assert run("--all") == "Sujets lus : 2, dont sans texte : 1."
    assert (etat(waiting), etat(done)) == (EtatTexte.FAIT, EtatTexte.SANS_TEXTE)


def test_the_command_tells_how_far_it_is():
    for content in (CAUCHY, pdf()):
        with_file(EpreuveFactory(), content)
    told = []
    extract_texts(everything=True, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
