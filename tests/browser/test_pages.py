"""The pages people look at, opened in a real browser: nothing broken, nothing from outside.

`SCREENSHOTS=docs/images pytest tests/browser` keeps the pictures that the docs show.
"""

import datetime as dt
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, sync_playwright

from apps.core.models import Epreuve, Statut, User
from apps.core.services.password_links import link_path
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.models import ModelMetadata, TrainingLog
from apps.recommender.services import training
from apps.recommender.services.demo_bank import create_demo_bank
from tests.factories import (
    PASSWORD,
    CommentaireFactory,
    EpreuveFactory,
    MatiereFactory,
    SignalementFactory,
    UserFactory,
    pdf,
    with_file,
)

pytestmark = [pytest.mark.requires("chromium"), pytest.mark.django_db(transaction=True)]

CHROMIUM = "/usr/bin/chromium"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
SCREENSHOTS = os.environ.get("SCREENSHOTS")


@dataclass
class Watched:
    """A page and all that went wrong on it."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda m: self._note(m.type == "error", f"console: {m.text}"))
        self.page.on("pageerror", lambda error: self._note(True, f"script: {error}"))
        self.page.on("request", lambda r: self._note(self._outside(r.url), f"outside: {r.url}"))
        self.page.on("requestfailed", lambda r: self._note(True, f"failed: {r.url} {r.failure}"))
        self.page.on("response", lambda r: self._note(r.status >= 400, f"{r.status}: {r.url}"))

    def _note(self, wrong: bool, fault: str) -> None:
        if wrong:
            self.faults.append(fault)

    def _outside(self, url: str) -> bool:
        return not url.startswith((self.base, "data:", "blob:"))

    def open(self, path: str, name: str) -> None:
        self.page.goto(self.base + path, wait_until="networkidle")
        self.picture(name)

    def picture(self, name: str) -> None:
        if SCREENSHOTS:
            width = self.page.viewport_size["width"]
            target = Path(SCREENSHOTS) / f"{name}-{width}.png"
            self.page.screenshot(path=str(target))

    def too_wide(self) -> list[str]:
        """What makes the page scroll sideways: elements that end beyond the window."""
        return list(
            self.page.evaluate(
                """() => document.documentElement.scrollWidth <= window.innerWidth + 1 ? [] :
                [...document.querySelectorAll("body *")]
                    .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
                    .map(e => e.outerHTML.slice(0, 160))"""
            )
        )


@pytest.fixture
def bank(transactional_db: None) -> dict[str, int]:
    """A demonstration bank with a trained model, as an administrator meets it: what to open.

    Read before Playwright starts: inside its event loop the ORM opens a connection that nobody
    closes, and PostgreSQL keeps the database.
    """
    create_demo_bank(users=40, epreuves=60, interactions=2400, seed=42, reset=False)
    training.train(
        TrainingConfig(epochs=12, batch_size=64, embedding_dim=16, learning_rate=0.005),
        version="essai",
    )
    User.objects.create_superuser("rachidi", password=PASSWORD)
    opened = (Epreuve.objects.first(), TrainingLog.objects.get(), ModelMetadata.objects.get())
    asked = timezone.now() - dt.timedelta(minutes=5)
    waiting = TrainingLog.objects.create(statut="en_attente", version="suivant", debut=asked)
    return {row._meta.model_name: row.pk for row in opened} | {"waiting": waiting.pk}


@pytest.fixture
def link(transactional_db: None) -> str:
    """For somebody who forgot a password; made here for the same reason as the bank."""
    return link_path(UserFactory(username="nadege"))


@pytest.fixture(params=[1280, 390])
def watched(request, live_server, monkeypatch) -> Iterator[Watched]:
    # Playwright runs an event loop in this thread; cleaning the database up around it is ours.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page(
            viewport={"width": request.param, "height": 720}, locale="fr-FR", color_scheme="light"
        )
        yield Watched(page, live_server.url)
        browser.close()


def test_no_page_is_broken_or_asks_anything_of_the_outside(bank, watched):
    watched.open("/api/docs/", "api-docs")
    watched.page.locator(".opblock").nth(20).wait_for()
    assert watched.page.get_by_text("/api/recommendations/personalized/").is_visible()

    watched.open("/admin/", "admin-connexion")
    watched.page.fill("[name=username]", "rachidi")
    watched.page.fill("[name=password]", PASSWORD)
    watched.page.click("[type=submit]")
    watched.page.wait_for_load_state("networkidle")

    for path, name in (
        ("/admin/", "admin-accueil"),
        ("/admin/core/user/", "admin-utilisateurs"),
        ("/admin/core/epreuve/", "admin-epreuves"),
        (f"/admin/core/epreuve/{bank['epreuve']}/change/", "admin-epreuve"),
        ("/admin/recommender/traininglog/", "admin-entrainements"),
        (f"/admin/recommender/traininglog/{bank['waiting']}/change/", "admin-en-attente"),
        (f"/admin/recommender/traininglog/{bank['traininglog']}/change/", "admin-entrainement"),
        ("/admin/recommender/activationmodele/", "admin-activations"),
        ("/admin/recommender/modelmetadata/", "admin-modeles"),
        (f"/admin/recommender/modelmetadata/{bank['modelmetadata']}/change/", "admin-modele"),
    ):
        watched.open(path, name)
        assert watched.too_wide() == [], path
    watched.open(
        f"/admin/recommender/traininglog/{bank['traininglog']}/change/", "admin-entrainement"
    )
    assert watched.page.locator("svg polyline").count() == 3

    assert watched.faults == []


# A script in each place where people write, and each would leave a mark.
HOSTILE = "<img src=x onerror=document.title='XSS'><script>document.title='XSS'</script>"


@pytest.fixture
def queue(transactional_db: None) -> dict[str, int]:
    """What waits for a moderator, all of it hostile."""
    User.objects.create_superuser("rachidi", password=PASSWORD)
    author = UserFactory(username="dossou", role="enseignant", first_name=HOSTILE[:150])
    waiting = {"titre": HOSTILE, "statut": Statut.SOUMISE, "depose_par": author}
    epreuve, _ = (with_file(row) for row in EpreuveFactory.create_batch(2, **waiting))
    commentaire = CommentaireFactory(contenu=HOSTILE, epreuve__titre=HOSTILE)
    SignalementFactory(commentaire=commentaire, motif=HOSTILE)
    return {"epreuve": epreuve.pk, "commentaire": commentaire.pk}


def test_a_moderator_empties_the_queues_and_hostile_words_stay_words(queue, watched):
    page = watched.page
    watched.open("/admin/", "admin-connexion")
    page.fill("[name=username]", "rachidi")
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_load_state("networkidle")

    def look(path: str | None, name: str) -> None:
        if path:
            watched.open(path, name)
        else:
            watched.picture(name)
        assert watched.too_wide() == [], name
        assert page.title() != "XSS", name
        assert page.get_by_text("<script>document.title").first.is_visible(), name

    def act(rows: int, action: str) -> None:
        for row in range(rows):
            page.locator("input.action-select").nth(row).check()
        page.select_option("select[name=action]", action)
        page.locator("button[name=index]").click()
        page.wait_for_load_state("networkidle")

    look("/admin/core/epreuve/", "admin-file")
    assert page.get_by_text("À modérer : 2").first.is_visible()
    act(2, "reject")
    look(None, "admin-rejeter")
    page.fill("[name=motif]", HOSTILE)
    page.get_by_role("button", name="Rejeter").click()
    page.wait_for_load_state("networkidle")
    look(None, "admin-rejetees")
    assert page.get_by_text("À modérer : 0").first.is_visible()
    look(f"/admin/core/epreuve/{queue['epreuve']}/change/", "admin-rejetee")
    look(f"/admin/core/epreuve/{queue['epreuve']}/history/", "admin-historique")

    look("/admin/core/commentaire/", "admin-commentaires")
    assert page.get_by_text("à décider : 1").first.is_visible()
    look(f"/admin/core/commentaire/{queue['commentaire']}/change/", "admin-commentaire")
    page.goto(f"{watched.base}/admin/core/commentaire/")
    act(1, "hide")
    look(None, "admin-commentaires-decides")
    assert page.get_by_text("à décider : 0").first.is_visible()
    assert watched.faults == []


@pytest.fixture
def catalogue(transactional_db: None, tmp_path: Path) -> dict[str, str]:
    """Of good lines and of bad ones, with the ZIP of the good; hostile both."""
    User.objects.create_superuser("rachidi", password=PASSWORD)
    MatiereFactory(code="ANALYSE")
    with_file(EpreuveFactory(titre=HOSTILE))
    line = f'"{HOSTILE}";ANALYSE;{"long-" * 12}'
    header = "titre;matiere;reference_externe;fichier\n"
    names = [f"{n}-{'nom' * 20}.pdf" for n in range(3)]
    texts = {
        "bon": header + "".join(f"{line}{n};{name}\n" for n, name in enumerate(names)),
        "faux": header + "".join(f'"";{HOSTILE};;{name}\n' for name in ("../x.pdf", *names)),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="cp1252")
    with zipfile.ZipFile(tmp_path / "pdfs.zip", "w") as archive:
        for name in names:
            archive.writestr(name, pdf(name))
    return {path.stem: str(path) for path in tmp_path.iterdir() if path.is_file()}


def test_a_catalogue_is_rehearsed_then_imported_then_exported(catalogue, watched):
    page = watched.page
    watched.open("/admin/", "admin-connexion")
    page.fill("[name=username]", "rachidi")
    page.fill("[name=password]", PASSWORD)
    page.click("[type=submit]")
    page.wait_for_load_state("networkidle")

    def send(name: str, *said: str) -> None:
        page.set_input_files("[name=catalogue]", catalogue[name])
        page.set_input_files("[name=archive]", catalogue["pdfs"])
        page.get_by_role("button", name="Vérifier").click()
        for text in said:
            page.get_by_text(text).first.wait_for()
        watched.picture(f"admin-importer-{name}")
        assert watched.too_wide() == [], name
        assert page.title() != "XSS", name

    def follow(name: str) -> None:
        """One of the links above the list, which a phone keeps behind a button."""
        if page.viewport_size["width"] < 1024:
            page.get_by_text("more_horiz").click()
            watched.picture("admin-epreuves-menu")
            assert watched.too_wide() == []
        page.get_by_role("link", name=name, exact=True).first.click()

    watched.open("/admin/core/epreuve/", "admin-importer-depuis-la-liste")
    assert watched.too_wide() == []
    follow("Importer")
    page.wait_for_load_state("networkidle")
    watched.picture("admin-importer")
    assert watched.too_wide() == []
    send("faux", "Ligne 2, titre", "Ligne 2, fichier", "Ligne 5, matiere")
    send("bon", "Aucune erreur", "3 ajouts", "Ligne 4 :", "<script>document.title")
    page.get_by_role("button", name="Importer").click()
    page.get_by_text("Catalogue importé").first.wait_for()
    watched.picture("admin-importe")
    assert watched.too_wide() == []
    with page.expect_download() as download:
        follow("Tout exporter")
    exported = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert exported.count("document.title='XSS'</script>") == 4
    # A download is no page: the browser calls the navigation off.
    assert [fault for fault in watched.faults if "/exporter/ net::ERR_ABORTED" not in fault] == []


def test_a_forgotten_password_is_replaced_on_a_page_of_ours(link, watched):
    watched.open(link, "mot-de-passe")
    assert watched.too_wide() == []
    for number in (1, 2):
        watched.page.fill(f"[name=new_password{number}]", "Kpodji-7-fromagers")
    watched.page.click("[type=submit]")
    watched.page.get_by_text("est enregistré").wait_for()
    assert watched.too_wide() == []
    watched.open(link, "mot-de-passe-lien-servi")
    assert watched.page.get_by_text("Ce lien ne sert plus").is_visible()
    assert watched.faults == []
