"""The bank in the administration: what waits for a moderator, a catalogue that comes and goes."""

import zipfile
from pathlib import Path

import pytest

from apps.core.models import Statut, User
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
    watched.sign_in("rachidi")

    def look(path: str | None, name: str) -> None:
        if path:
            watched.open(path, name)
        else:
            watched.look(name)
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
    watched.sign_in("rachidi")

    def send(name: str, *said: str) -> None:
        page.set_input_files("[name=catalogue]", catalogue[name])
        page.set_input_files("[name=archive]", catalogue["pdfs"])
        page.get_by_role("button", name="Vérifier").click()
        for text in said:
            page.get_by_text(text).first.wait_for()
        watched.look(f"admin-importer-{name}")
        assert page.title() != "XSS", name

    def follow(name: str) -> None:
        """One of the links above the list, which a phone keeps behind a button."""
        if page.viewport_size["width"] < 1024:
            page.get_by_text("more_horiz").click()
            watched.look("admin-epreuves-menu")
        page.get_by_role("link", name=name, exact=True).first.click()

    watched.open("/admin/core/epreuve/", "admin-importer-depuis-la-liste")
    follow("Importer")
    page.wait_for_load_state("networkidle")
    watched.look("admin-importer")
    send("faux", "Ligne 2, titre", "Ligne 2, fichier", "Ligne 5, matiere")
    send("bon", "Aucune erreur", "3 ajouts", "Ligne 4 :", "<script>document.title")
    page.get_by_role("button", name="Importer").click()
    page.get_by_text("Catalogue importé").first.wait_for()
    watched.look("admin-importe")
    with page.expect_download() as download:
        follow("Tout exporter")
    exported = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert exported.count("document.title='XSS'</script>") == 4
    # A download is no page: the browser calls the navigation off.
    assert [fault for fault in watched.faults if "/exporter/ net::ERR_ABORTED" not in fault] == []
