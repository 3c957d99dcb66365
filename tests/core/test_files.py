import datetime as dt
import re
from io import BytesIO
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.utils import timezone
from PIL import Image, ImageColor
from pypdf import PdfReader, PdfWriter

from apps.core.models import Epreuve, Interaction, Statut
from apps.core.review import Action
from apps.core.services import files
from apps.core.services.epreuves import edit_epreuve
from apps.core.services.files import read_document, read_pdf
from apps.core.signals import catalogue_changed
from tests.factories import EpreuveFactory, MatiereFactory, UserFactory, moved, pdf, with_file

pytestmark = pytest.mark.django_db


def upload(content=None, name="sujet.pdf"):
    return SimpleUploadedFile(name, pdf("neuf") if content is None else content)


def deposit(client, **fields):
    MatiereFactory()
    data = {"titre": "Topologie", "matiere": "ANALYSE", "fichier": upload()} | fields
    data = {name: value for name, value in data.items() if value is not None}
    return client.post("/api/epreuves/", data, format="multipart")


def on_disk(settings):
    root = Path(settings.MEDIA_ROOT)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def fetch(client, url, **headers):
    """The answer, and its body read to the end, which closes the file."""
    answer = client.get(url, **headers)
    return answer, b"".join(answer)


def encrypted():
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret", algorithm="RC4-128")
    stream = BytesIO()
    writer.write(stream)
    return stream.getvalue()


def pageless():
    stream = BytesIO()
    PdfWriter().write(stream)
    return stream.getvalue()


def tree(kids, more=b""):
    """A PDF whose root lists `kids`: 3 is a page, 4 a group that lists `more`."""
    return b"".join(
        (
            b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n",
            b"2 0 obj<</Type/Pages/Kids[" + kids + b"]>>endobj\n",
            b"3 0 obj<</Type/Page/Parent 2 0 R>>endobj\n",
            b"4 0 obj<</Type/Pages/Kids[" + more + b"]>>endobj\n",
            b"trailer<</Size 5/Root 1 0 R>>\nstartxref\n0\n%%EOF",
        )
    )


@pytest.fixture
def heard():
    """What `catalogue_changed` said, one entry a time."""
    calls = []

    def listener(**kwargs):
        calls.append(transaction.get_connection().in_atomic_block)

    catalogue_changed.connect(listener)
    yield calls
    catalogue_changed.disconnect(listener)


# --- Deposits ----------------------------------------------------------------------------


def test_a_teacher_deposits_an_epreuve_that_waits_to_be_published(api, mme_dossou, settings):
    answer = deposit(
        api(mme_dossou),
        niveau="L3",
        annee=2025,
        annee_academique="2024-2025",
        fichier_corrige=upload(pdf("corrigé")),
    )
    assert answer.status_code == 201, answer.content.decode()
    body, row = answer.json(), Epreuve.objects.get()
    assert (body["statut"], body["auteur"]["id"]) == ("soumise", mme_dossou.pk)
    assert (body["nb_pages"], body["taille_octets"]) == (1, len(pdf("neuf")))
    assert (body["corrige_disponible"], row.taille_corrige_octets) == (True, len(pdf("corrigé")))
    assert row.sha256 != row.sha256_corrige
    assert on_disk(settings) == sorted([row.fichier.name, row.fichier_corrige.name])


def test_files_are_named_by_the_bank_not_by_the_client(api, mme_dossou):
    deposit(api(mme_dossou), fichier=upload(name="../../etc/passwd.pdf"))
    name = Epreuve.objects.get().fichier.name
    assert re.fullmatch(r"epreuves/[0-9a-f]{2}/[0-9a-f]{32}\.pdf", name)


def test_an_administrator_may_publish_at_once(api, rachidi, heard):
    answer = deposit(api(rachidi), statut="publiee")
    assert (answer.status_code, answer.json()["statut"]) == (201, "publiee")
    assert answer.json()["date_publication"].endswith("Z")
    assert heard == [True]


def test_a_teacher_may_not_publish(api, mme_dossou, settings):
    answer = deposit(api(mme_dossou), statut="publiee")
    assert answer.status_code == 403
    assert (Epreuve.objects.count(), on_disk(settings)) == (0, [])


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "empty"),
        (b"MZ\x90\x00 an executable", 415, "pdf_attendu"),
        (b"<html>%PDF-1.4</html>", 415, "pdf_attendu"),
        (b"PK\x03\x04" + pdf(), 415, "pdf_attendu"),
        (b"%PDF-", 400, "pdf_tronque"),
        (pdf()[:-200], 400, "pdf_tronque"),
        (b"%PDF-1.4\nnothing of a document\n%%EOF", 400, "pdf_illisible"),
        (b"%PDF-1.4\n" + b"1 0 obj<</Type/Catalog/Pages 1 0 R>>endobj " * 3 + b"%%EOF", 400, None),
        (encrypted(), 400, "pdf_protege"),
        (pageless(), 400, "pdf_illisible"),
        (tree(b"3 0 R " * 2001), 400, "pdf_trop_long"),
        (tree(b"4 0 R " * 2, b"3 0 R " * 1500), 400, "pdf_trop_long"),
        (tree(b"4 0 R ", b"4 0 R"), 400, "pdf_trop_long"),
        (tree(b"4 0 R " * 3000, b"null " * 3000), 400, "pdf_trop_long"),
        (tree(b"4 0 R ", b""), 400, "pdf_illisible"),
        (tree(b"null 5 ", b""), 400, "pdf_illisible"),
    ],
)
def test_what_is_not_a_sound_pdf_is_refused_and_not_kept(
    api, mme_dossou, settings, content, status, code
):
    answer = deposit(api(mme_dossou), fichier=upload(content))
    assert answer.status_code == status, answer.content.decode()
    assert code in (None, answer.json()["errors"][0]["code"])
    assert (Epreuve.objects.count(), on_disk(settings)) == (0, [])


@pytest.mark.parametrize(
    ("kids", "more", "pages"),
    [
        (b"3 0 R", b"", 1),
        (b"3 0 R " * 2000, b"", 2000),
        (b"4 0 R " * 20 + b"3 0 R", b"3 0 R " * 99, 1981),
        (b"null 3 0 R <<>> << /MediaBox[0 0 9 9] >>", b"", 2),
    ],
)
def test_pages_are_counted_through_the_whole_tree(kids, more, pages):
    assert read_pdf(upload(tree(kids, more))).nb_pages == pages


def test_a_file_over_the_limit_is_413(api, mme_dossou, settings):
    settings.TAILLE_MAX_OCTETS = len(pdf("neuf"))
    assert deposit(api(mme_dossou)).status_code == 201
    settings.TAILLE_MAX_OCTETS -= 1
    assert deposit(api(mme_dossou), fichier=upload(pdf("vieu"))).status_code == 413


def test_an_announced_body_over_the_limit_is_413_before_it_is_read(api, mme_dossou, settings):
    settings.TAILLE_MAX_OCTETS = 10
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    answer = deposit(api(mme_dossou))
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["code"] == "trop_volumineux"


@pytest.fixture
def temporary_files(settings, tmp_path):
    """The folder that uploads stream into."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = str(folder)
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0
    return folder


class Watched(BytesIO):
    """A request's body that remembers how much of it was read, and what lay on the disk then."""

    def __init__(self, body, folder):
        super().__init__(body)
        self.folder, self.most_on_disk = folder, 0

    def read(self, *args):
        on_disk = sum(path.stat().st_size for path in self.folder.iterdir())
        self.most_on_disk = max(self.most_on_disk, on_disk)
        return super().read(*args)


def stream(client, body, folder, announced=None):
    """POST a multipart body as it streams in, whatever length it claims."""
    content, kind = client._encode_data(body, format="multipart")
    watched = Watched(content, folder)
    answer = client.generic(
        "POST",
        "/api/epreuves/",
        b"",
        kind,
        **{
            "wsgi.input": watched,
            "CONTENT_LENGTH": str(len(content) if announced is None else announced),
            "CONTENT_TYPE": kind,
        },
    )
    return answer, watched


def test_a_file_is_refused_as_soon_as_it_passes_the_limit(
    api, mme_dossou, settings, temporary_files
):
    settings.TAILLE_MAX_OCTETS = 300_000
    MatiereFactory()
    fields = {"titre": "Topologie", "matiere": "ANALYSE", "fichier": upload(pdf() + bytes(600_000))}
    answer, watched = stream(api(mme_dossou), fields, temporary_files)
    assert answer.status_code == 413, answer.content.decode()
    (error,) = answer.json()["errors"]
    assert (error["code"], "réduisez-le" in error["detail"]) == ("trop_volumineux", True)
    assert 0 < watched.most_on_disk <= 300_000
    assert (list(temporary_files.iterdir()), on_disk(settings)) == ([], [])


def test_the_second_file_is_measured_like_the_first_and_both_leave_the_disk(
    api, mme_dossou, settings, temporary_files
):
    settings.TAILLE_MAX_OCTETS = 300_000
    answer = deposit(
        api(mme_dossou),
        fichier=upload(pdf() + bytes(200_000)),
        fichier_corrige=upload(pdf("c") + bytes(350_000)),
    )
    assert answer.status_code == 413
    assert (list(temporary_files.iterdir()), on_disk(settings)) == ([], [])


@pytest.mark.parametrize("announced", [0, 1, 1000, 250_000])
def test_a_length_that_lies_keeps_nothing(api, mme_dossou, settings, temporary_files, announced):
    settings.TAILLE_MAX_OCTETS = 300_000
    MatiereFactory()
    fields = {"titre": "Topologie", "matiere": "ANALYSE", "fichier": upload(pdf() + bytes(600_000))}
    answer, watched = stream(api(mme_dossou), fields, temporary_files, announced)
    assert answer.status_code == 400
    assert watched.most_on_disk <= 300_000
    assert (list(temporary_files.iterdir()), on_disk(settings)) == ([], [])
    assert not Epreuve.objects.exists()


def test_a_file_too_large_for_the_administration_is_413(rachidi, settings, client, temporary_files):
    settings.TAILLE_MAX_OCTETS = 100_000
    client.force_login(rachidi)
    fields = {"titre": "Topologie", "fichier": upload(bytes(200_000))}
    answer = client.post("/admin/core/epreuve/add/", fields)
    assert answer.status_code == 413
    assert "Ce fichier dépasse 0 Mo : réduisez-le" in answer.content.decode()
    assert list(temporary_files.iterdir()) == []


def test_the_same_file_is_409_and_names_the_other(api, mme_dossou, settings):
    other = deposit(api(mme_dossou)).json()["id"]
    answer = deposit(api(mme_dossou), titre="Double")
    assert (answer.status_code, answer.json()["epreuve"]) == (409, other)
    assert answer.json()["errors"][0]["code"] == "fichier_duplique"
    assert f"épreuve {other}" in answer.json()["errors"][0]["detail"]
    assert len(on_disk(settings)) == 1


@pytest.mark.parametrize("statut", [Statut.BROUILLON, Statut.SOUMISE, Statut.REJETEE])
def test_a_double_of_what_one_may_not_see_is_409_without_its_name(
    api, mme_dossou, m_zinsou, rachidi, statut
):
    hidden = with_file(EpreuveFactory(statut=statut, depose_par=mme_dossou), pdf("neuf"))
    mine = with_file(EpreuveFactory(depose_par=m_zinsou))
    url = f"/api/epreuves/{mine.pk}/"
    for answer in (
        deposit(api(m_zinsou)),
        api(m_zinsou).patch(url, {"fichier": upload()}, format="multipart"),
    ):
        error = {"code": "fichier_duplique", "detail": "Ce fichier est déjà dans la banque."}
        assert (answer.status_code, answer.json()["errors"]) == (409, [error | {"attr": None}])
        assert "epreuve" not in answer.json()
    assert deposit(api(rachidi)).json()["epreuve"] == hidden.pk


def test_a_double_that_slips_between_check_and_insert_is_409_too(
    api, mme_dossou, settings, monkeypatch
):
    from apps.core.services import epreuves

    first = with_file(EpreuveFactory(), pdf("neuf"))
    real, calls = epreuves.refuse_a_double, []

    def blind_once(epreuve):
        calls.append(epreuve)
        if len(calls) > 1:
            real(epreuve)

    monkeypatch.setattr(epreuves, "refuse_a_double", blind_once)
    answer = deposit(api(mme_dossou))
    assert answer.status_code == 409
    assert (len(calls), on_disk(settings)) == (2, [first.fichier.name])


def test_a_failed_request_leaves_no_file(api, mme_dossou, settings, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Epreuve, "save", full_disk)
    client = api(mme_dossou)
    client.raise_request_exception = False
    assert deposit(client).status_code == 500
    assert on_disk(settings) == []


@pytest.mark.parametrize(
    ("field", "value", "attr"),
    [
        ("titre", "", "titre"),
        ("titre", None, "titre"),
        ("titre", "x" * 201, "titre"),
        ("matiere", "CHIMIE", "matiere"),
        ("niveau", "L9", "niveau"),
        ("annee", "2e9", "annee"),
        ("annee", 1800, "annee"),
        ("semestre", 11, "semestre"),
        ("annee_academique", "2023-2025", "annee_academique"),
        ("annee_academique", "abcd-efgh", "annee_academique"),
        ("annee_academique", "٢٠٢٣-٢٠٢٤", "annee_academique"),
        ("titre", "\u200b", "titre"),
        ("enseignant", "x", "enseignant"),
        ("fichier", None, "fichier"),
        ("fichier", "pas un fichier", "fichier"),
        ("statut", "archivee", "statut"),
    ],
)
def test_a_bad_field_is_refused_by_name(api, mme_dossou, field, value, attr):
    answer = deposit(api(mme_dossou), **{field: value})
    assert answer.status_code == 400
    assert [error["attr"] for error in answer.json()["errors"]] == [attr]


def test_a_file_under_a_name_of_its_own_is_refused_not_lost(api, mme_dossou):
    answer = deposit(api(mme_dossou), corrige=SimpleUploadedFile("c.pdf", pdf("corrigé")))
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["attr"], error["code"]) == ("corrige", "fichier_inconnu")
    assert not Epreuve.objects.exists()


def test_a_student_is_no_teacher(api, mme_dossou, awa):
    answer = deposit(api(mme_dossou), enseignant=awa.pk)
    assert answer.status_code == 400


PROTECTED = {
    "id": 999,
    "nb_vues": 999,
    "nb_telechargements": 999,
    "nb_evaluations": 999,
    "somme_pertinence": 999,
    "date_publication": "2020-01-01T00:00:00Z",
    "date_creation": "2020-01-01T00:00:00Z",
    "depose_par": 999,
    "sha256": "a" * 64,
    "taille_octets": 999,
    "nb_pages": 999,
    "texte_recherche": "x",
    "reference_externe": "x",
}


def test_protected_fields_are_not_assigned(api, mme_dossou):
    epreuve = with_file(EpreuveFactory(depose_par=mme_dossou, statut=Statut.SOUMISE))
    before = {name: getattr(epreuve, name) for name in PROTECTED}
    answer = api(mme_dossou).patch(
        f"/api/epreuves/{epreuve.pk}/", PROTECTED | {"statut": "publiee"}
    )
    assert answer.status_code == 200
    after = Epreuve.objects.get(pk=epreuve.pk)
    assert {name: getattr(after, name) for name in PROTECTED} == before
    assert after.statut == Statut.SOUMISE


# --- Photographs -------------------------------------------------------------------------


def photograph(kind="JPEG", size=(1200, 1600), colour="white", mode="RGB", **options):
    """A page whose top left corner is red."""
    image = Image.new(mode, size, colour)
    if mode == "RGB":
        image.paste("red", (0, 0, size[0] // 4, size[1] // 4))
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def black(side):
    """A PNG of a few kilobytes."""
    return photograph("PNG", mode="1", size=(side, side), colour=0)


def pictures(content):
    """The images of a PDF, one a page."""
    reader = PdfReader(BytesIO(content))
    return [Image.open(BytesIO(page.images[0].data)).convert("RGB") for page in reader.pages]


def test_photographs_become_one_pdf_in_their_order(api, anyone, mme_dossou):
    colours = ("white", "blue", "green")
    photos = [
        upload(photograph("PNG" if colour == "blue" else "JPEG", colour=colour), f"{colour}.x")
        for colour in colours
    ]
    answer = deposit(api(mme_dossou), fichier=photos)
    assert answer.status_code == 201, answer.content.decode()
    assert answer.json()["nb_pages"] == 3
    content = fetch(anyone, link(api(mme_dossou), Epreuve.objects.get())["url"])[1]
    assert len(content) == answer.json()["taille_octets"]
    for picture, colour in zip(pictures(content), colours, strict=True):
        seen = picture.getpixel((picture.width - 1, picture.height - 1))
        wanted = ImageColor.getrgb(colour)
        assert max(abs(one - two) for one, two in zip(seen, wanted, strict=True)) < 30, colour


def test_one_photograph_is_enough_and_a_corrige_may_be_photographed_too(api, mme_dossou):
    answer = deposit(
        api(mme_dossou),
        fichier=upload(photograph()),
        fichier_corrige=[upload(photograph(colour="blue")), upload(photograph())],
    )
    assert answer.status_code == 201
    assert (answer.json()["nb_pages"], answer.json()["corrige_disponible"]) == (1, True)
    assert len(PdfReader(Epreuve.objects.get().fichier_corrige.path).pages) == 2


def test_a_photograph_is_turned_upright_reduced_and_says_nothing_of_its_author():
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: the camera was held on its side.
    exif[0x010F] = "Appareil d'Awa"
    exif.get_ifd(0x8825)[1] = "N"
    photo = photograph(size=(4000, 3000), exif=exif, comment=b"chez Awa", dpi=(72, 72))
    assert b"Appareil" in photo
    assert b"chez Awa" in photo
    made = read_document([upload(photo)]).content.read()
    assert b"Appareil" not in made
    assert b"chez Awa" not in made
    assert b"Exif" not in made
    (picture,) = pictures(made)
    assert picture.size == (1440, 1920)
    red, green, _ = picture.getpixel((picture.width - 5, 5))
    assert (red > 200, green < 60) == (True, True), "what was left is on the right"
    page = PdfReader(BytesIO(made)).pages[0].mediabox
    assert (round(page.width), round(page.height)) == (632, 842)


def test_the_same_photographs_are_the_same_file(api, mme_dossou):
    photos = [photograph(colour=colour) for colour in ("white", "blue")]
    first = deposit(api(mme_dossou), fichier=[upload(photo) for photo in photos])
    again = deposit(api(mme_dossou), fichier=[upload(photo) for photo in photos])
    assert (again.status_code, again.json()["epreuve"]) == (409, first.json()["id"])
    turned = deposit(api(mme_dossou), fichier=[upload(photo) for photo in reversed(photos)])
    assert turned.status_code == 201


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("1", {}),
        ("L", {}),
        ("LA", {}),
        ("P", {"transparency": 0}),
        ("RGBA", {}),
        ("I;16", {}),
    ],
)
def test_every_kind_of_png_becomes_a_page(mode, options):
    photo = photograph("PNG", mode=mode, size=(300, 400), colour=0, **options)
    assert read_document([upload(photo)]).nb_pages == 1


def test_what_is_transparent_is_white():
    photo = photograph("PNG", mode="RGBA", size=(300, 400), colour=(0, 0, 0, 0))
    (picture,) = pictures(read_document([upload(photo)]).content.read())
    assert min(picture.getpixel((100, 100))) > 250


@pytest.mark.parametrize(
    ("photos", "status", "code", "said"),
    [
        ([photograph(), pdf()], 415, "pdf_attendu", "JPEG ou PNG"),
        ([pdf(), pdf("b")], 415, "pdf_attendu", "pas un seul"),
        ([photograph(), b"GIF89a" + bytes(99)], 415, "pdf_attendu", "JPEG ou PNG"),
        ([photograph(), photograph()[:3000]], 400, "photo_illisible", "La photographie 2 "),
        ([b"\xff\xd8\xff" + bytes(99)], 400, "photo_illisible", "La photographie 1 "),
        ([b"\x89PNG\r\n\x1a\n" + bytes(99)], 400, "photo_illisible", "La photographie 1 "),
        ([photograph(size=(8, 8))] * 41, 400, "trop_de_photos", "Au plus 40"),
        ([photograph(), b""], 400, "empty", ""),
        # A few kilobytes that would fill 64 MB, and 400: a bomb.
        ([black(8_000)], 400, "photo_illisible", "La photographie 1 "),
        ([black(20_000)], 400, "photo_illisible", "La photographie 1 "),
    ],
)
def test_what_is_no_photograph_is_refused_and_not_kept(
    api, mme_dossou, settings, photos, status, code, said
):
    answer = deposit(api(mme_dossou), fichier=[upload(photo) for photo in photos])
    assert answer.status_code == status, answer.content.decode()
    (error,) = answer.json()["errors"]
    assert (error["code"], said in error["detail"]) == (code, True)
    assert (Epreuve.objects.count(), on_disk(settings)) == (0, [])


def test_photographs_that_make_a_pdf_too_large_together_are_413(api, mme_dossou, settings):
    photos = [photograph(colour=colour, quality=1) for colour in ("white", "blue", "green")]
    made = read_document([upload(photo) for photo in photos])
    settings.TAILLE_MAX_OCTETS = made.taille_octets - 1
    assert max(map(len, photos)) < settings.TAILLE_MAX_OCTETS
    answer = deposit(api(mme_dossou), fichier=[upload(photo) for photo in photos])
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "trop_volumineux")
    assert on_disk(settings) == []


def test_photographs_that_pass_the_limits_of_the_sandbox_are_refused(
    api, mme_dossou, settings, monkeypatch, caplog
):
    monkeypatch.setattr(files, "PHOTOGRAPHS_MEMORY", 1024)
    answer = deposit(api(mme_dossou), fichier=upload(photograph()))
    assert answer.json()["errors"][0]["code"] == "photo_illisible"
    assert "Photographies refusées" in caplog.text
    assert on_disk(settings) == []


# --- Corrections -------------------------------------------------------------------------


def test_the_author_corrects_a_field_and_the_others_stay(api, mme_dossou):
    epreuve = EpreuveFactory(depose_par=mme_dossou, description="Ancienne", annee=2020)
    answer = api(mme_dossou).patch(f"/api/epreuves/{epreuve.pk}/", {"titre": "Séries de Fourier"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["titre"], body["description"], body["annee"]) == (
        "Séries de Fourier",
        "Ancienne",
        2020,
    )
    assert Epreuve.objects.matching("fourier").exists()


def test_a_replaced_file_leaves_the_disk_once_the_change_is_committed(
    api, mme_dossou, settings, django_capture_on_commit_callbacks
):
    epreuve = with_file(EpreuveFactory(depose_par=mme_dossou))
    old = epreuve.fichier.name
    with django_capture_on_commit_callbacks() as callbacks:
        answer = api(mme_dossou).patch(
            f"/api/epreuves/{epreuve.pk}/", {"fichier": upload()}, format="multipart"
        )
    assert answer.status_code == 200
    epreuve.refresh_from_db()
    assert on_disk(settings) == sorted([old, epreuve.fichier.name])
    for callback in callbacks:
        callback()
    epreuve.refresh_from_db()
    assert on_disk(settings) == sorted([epreuve.fichier.name, epreuve.vignette.name])
    assert epreuve.taille_octets == len(pdf("neuf"))


def test_a_change_that_is_rolled_back_keeps_the_old_file_and_drops_the_new(
    settings, monkeypatch, django_capture_on_commit_callbacks
):
    epreuve = with_file(EpreuveFactory())

    def fails(**kwargs):
        raise RuntimeError

    catalogue_changed.connect(fails)
    try:
        with django_capture_on_commit_callbacks(execute=True), pytest.raises(RuntimeError):
            edit_epreuve(epreuve, par=UserFactory(), fichiers={"fichier": read_pdf(upload())})
    finally:
        catalogue_changed.disconnect(fails)
    assert on_disk(settings) == [Epreuve.objects.get().fichier.name] == [epreuve.fichier.name]


def test_the_corrige_is_taken_back_with_null_and_the_sujet_is_not(api, mme_dossou):
    epreuve = with_file(EpreuveFactory(depose_par=mme_dossou))
    url = f"/api/epreuves/{epreuve.pk}/"
    api(mme_dossou).patch(url, {"fichier_corrige": upload()}, format="multipart")
    assert (
        api(mme_dossou).patch(url, {"fichier_corrige": None}).json()["corrige_disponible"] is False
    )
    assert api(mme_dossou).patch(url, {"fichier": None}).status_code == 400


def test_replacing_by_a_file_of_another_is_409(api, mme_dossou):
    with_file(EpreuveFactory(), pdf("neuf"))
    mine = with_file(EpreuveFactory(depose_par=mme_dossou))
    answer = api(mme_dossou).patch(
        f"/api/epreuves/{mine.pk}/", {"fichier": upload()}, format="multipart"
    )
    assert answer.status_code == 409


def test_deleting_archives_and_hides_from_the_author_too(api, mme_dossou, rachidi):
    epreuve = EpreuveFactory(depose_par=mme_dossou)
    url = f"/api/epreuves/{epreuve.pk}/"
    assert api(mme_dossou).delete(url).status_code == 204
    assert api(mme_dossou).get(url).status_code == 404
    assert api(rachidi).get(url).json()["statut"] == "archivee"


def test_changes_of_the_published_catalogue_are_announced_and_no_others(api, mme_dossou, heard):
    waiting = EpreuveFactory(statut=Statut.SOUMISE, depose_par=mme_dossou)
    published = EpreuveFactory(depose_par=mme_dossou)
    api(mme_dossou).patch(f"/api/epreuves/{waiting.pk}/", {"titre": "x"})
    api(mme_dossou).delete(f"/api/epreuves/{waiting.pk}/")
    assert heard == []
    api(mme_dossou).patch(f"/api/epreuves/{published.pk}/", {"titre": "x"})
    api(mme_dossou).delete(f"/api/epreuves/{published.pk}/")
    assert heard == [True, True]


# --- Corrigés under embargo -------------------------------------------------------------


TOMORROW = dt.timedelta(days=1)


def with_corrige(epreuve, visible_in=None):
    """Both documents, the corrigé visible so much later than now."""
    with_file(epreuve)
    visible = None if visible_in is None else timezone.now() + visible_in
    fichiers = {"fichier_corrige": read_pdf(upload(pdf(f"corrigé {epreuve.pk}")))}
    return edit_epreuve(epreuve, par=UserFactory(), fichiers=fichiers, corrige_visible_le=visible)


@pytest.fixture
def people(awa, mme_dossou, m_zinsou, rachidi):
    return {"anonyme": None, "étudiante": awa, "auteur": mme_dossou} | {
        "autre enseignant": m_zinsou,
        "administrateur": rachidi,
    }


@pytest.mark.parametrize(
    ("visible_in", "allowed"),
    [
        (None, {"anonyme", "étudiante", "auteur", "autre enseignant", "administrateur"}),
        (-TOMORROW, {"anonyme", "étudiante", "auteur", "autre enseignant", "administrateur"}),
        (TOMORROW, {"auteur", "administrateur"}),
    ],
)
def test_a_corrige_is_for_its_author_and_administrators_until_its_date(
    api, people, mme_dossou, visible_in, allowed
):
    epreuve = with_corrige(EpreuveFactory(depose_par=mme_dossou), visible_in)
    bare = EpreuveFactory(depose_par=mme_dossou)
    for who, person in people.items():
        client, may = api(person), who in allowed
        assert client.get(f"/api/epreuves/{epreuve.pk}/").json()["corrige_disponible"] is may, who
        for path in ("", "recentes/"):
            cards = client.get(f"/api/epreuves/{path}").json()["results"]
            said = {card["id"]: card["corrige_disponible"] for card in cards}
            assert said == {epreuve.pk: may, bare.pk: False}, who
            for asked in (True, False):
                found = client.get(f"/api/epreuves/{path}", {"corrige": asked}).json()["results"]
                assert {card["id"] for card in found} == {pk for pk in said if said[pk] is asked}
        asked = client.post(f"/api/epreuves/{epreuve.pk}/download/", {"document": "corrige"})
        assert asked.status_code == (401 if person is None else 200 if may else 404), who


def test_an_embargo_does_not_close_the_sujet(api, anyone, awa):
    epreuve = with_corrige(EpreuveFactory(), TOMORROW)
    assert fetch(anyone, link(api(awa), epreuve)["url"])[0].status_code == 200


def test_a_link_signed_before_the_embargo_gives_nothing(api, anyone, awa, mme_dossou):
    epreuve = with_corrige(EpreuveFactory(depose_par=mme_dossou))
    hers, authors = (
        link(api(person), epreuve, document="corrige")["url"] for person in (awa, mme_dossou)
    )
    assert fetch(anyone, hers)[0].status_code == 200
    edit_epreuve(
        epreuve, par=UserFactory(), fichiers={}, corrige_visible_le=timezone.now() + TOMORROW
    )
    answer = anyone.get(hers, HTTP_IF_NONE_MATCH="*", HTTP_RANGE="bytes=0-9")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "fichier_absent")
    assert fetch(anyone, authors)[0].status_code == 200


def test_a_refusal_for_embargo_reads_like_one_for_absence(api, awa):
    body = {"document": "corrige"}
    for epreuve in (with_corrige(EpreuveFactory(), TOMORROW), with_file(EpreuveFactory())):
        answer = api(awa).post(f"/api/epreuves/{epreuve.pk}/download/", body)
        said = answer.json() | {"request_id": ""}
        error = {"code": "fichier_absent", "detail": "Cette épreuve n'a pas ce document."}
        assert (answer.status_code, said["errors"]) == (404, [error | {"attr": None}])
    assert not Interaction.objects.exists()


def test_the_author_sets_moves_and_lifts_an_embargo(api, anyone, mme_dossou):
    date = (timezone.now() + TOMORROW).isoformat()
    answer = deposit(
        api(mme_dossou), fichier_corrige=upload(pdf("corrigé")), corrige_visible_le=date
    )
    assert answer.status_code == 201
    url = f"/api/epreuves/{answer.json()['id']}/"
    assert dt.datetime.fromisoformat(answer.json()["corrige_visible_le"]).isoformat() == date
    moved(Epreuve.objects.get(), Action.PUBLIER)
    assert anyone.get(url).json()["corrige_disponible"] is False
    # The second would be no date in the time zone of the administration.
    for refused in ("demain", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        assert api(mme_dossou).patch(url, {"corrige_visible_le": refused}).status_code == 400
    api(mme_dossou).patch(url, {"corrige_visible_le": None})
    assert anyone.get(url).json()["corrige_disponible"] is True


@pytest.mark.parametrize("statut", list(Statut))
@pytest.mark.parametrize("visible_in", [None, -TOMORROW, TOMORROW])
def test_the_database_and_the_row_agree_on_who_sees_a_corrige(
    people, mme_dossou, statut, visible_in
):
    rows = [
        with_corrige(EpreuveFactory(depose_par=author, statut=statut), visible_in)
        for author in (mme_dossou, None)
    ]
    rows.append(EpreuveFactory(depose_par=mme_dossou, statut=statut))
    for who, person in people.items():
        user = person or AnonymousUser()
        shown = {row.pk for row in rows if row.shows_corrige_to(user)}
        found = Epreuve.objects.with_corrige_for(user)
        rest = Epreuve.objects.with_corrige_for(user, corrige=False)
        assert {row.pk for row in found} == shown, who
        assert {row.pk for row in rest} == {row.pk for row in rows} - shown, who


# --- Downloads ---------------------------------------------------------------------------


def link(client, epreuve, **body):
    answer = client.post(f"/api/epreuves/{epreuve.pk}/download/", body)
    assert answer.status_code == 200, answer.content.decode()
    return answer.json()


def test_a_download_answers_a_link_that_gives_the_real_file(api, anyone, awa):
    epreuve = with_file(EpreuveFactory(titre="Séries & Fourier"), pdf("le sujet"))
    body = link(api(awa), epreuve)
    assert body["url"].startswith("http://testserver/api/fichiers/")
    assert body["nom_fichier"] == f"series-fourier-{epreuve.pk}.pdf"
    assert (body["taille_octets"], body["sha256"]) == (len(pdf("le sujet")), epreuve.sha256)
    assert body["nb_telechargements"] == 1
    answer, content = fetch(anyone, body["url"])
    assert content == pdf("le sujet")
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == f'attachment; filename="{body["nom_fichier"]}"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"].startswith("private")


def test_a_link_is_reusable_in_its_life_by_any_address_and_any_accept(api, anyone, awa):
    url = link(api(awa), with_file(EpreuveFactory()))["url"]
    for headers in ({"REMOTE_ADDR": "10.0.0.9"}, {"HTTP_ACCEPT": "application/pdf"}):
        assert fetch(anyone, url, **headers)[0].status_code == 200


def test_head_gives_the_headers_alone(api, anyone, awa):
    epreuve = with_file(EpreuveFactory())
    answer = anyone.head(link(api(awa), epreuve)["url"])
    assert (answer.status_code, b"".join(answer)) == (200, b"")
    assert answer["Content-Length"] == str(epreuve.taille_octets)


CONTENT = pdf("à reprendre")
SIZE = len(CONTENT)


@pytest.fixture
def resumable(api, awa):
    epreuve = with_file(EpreuveFactory(), CONTENT)
    return link(api(awa), epreuve)["url"], f'"{epreuve.sha256}"'


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-19", slice(10, 20)),
        ("bytes=10-", slice(10, None)),
        ("bytes=-10", slice(-10, None)),
        (f"bytes=5-{10**17}", slice(5, None)),
        (f"bytes=-{10**17}", slice(0, None)),
        (f" bytes={SIZE - 1}- ", slice(SIZE - 1, None)),
    ],
)
def test_a_range_gives_that_part(anyone, resumable, asked, part):
    url, etag = resumable
    answer, content = fetch(anyone, url, HTTP_RANGE=asked, HTTP_IF_RANGE=etag)
    wanted = range(SIZE)[part]
    assert (answer.status_code, content) == (206, CONTENT[part])
    assert answer["Content-Range"] == f"bytes {wanted.start}-{wanted.stop - 1}/{SIZE}"
    assert answer["Content-Length"] == str(len(content))
    assert (answer["ETag"], answer["Accept-Ranges"]) == (etag, "bytes")
    assert answer["Content-Type"] == "application/pdf"


@pytest.mark.parametrize(
    "asked",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=9-1", "bytes=a-b", "octets=0-1", "bytes=-1-2"),
        *("bytes=0-1,4-5", "bytes=٠-٩", "bytes=0-1x", f"bytes={10**18}-"),
    ],
)
def test_a_range_that_cannot_be_read_or_names_several_gives_the_whole(anyone, resumable, asked):
    answer, content = fetch(anyone, resumable[0], HTTP_RANGE=asked)
    assert (answer.status_code, content) == (200, CONTENT)
    assert "Content-Range" not in answer


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", f"bytes={10**17}-"])
def test_a_range_past_the_end_is_416_and_says_the_size(anyone, resumable, asked):
    answer = anyone.get(resumable[0], HTTP_RANGE=asked)
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{SIZE}")
    assert answer.json()["errors"][0]["code"] == "intervalle_impossible"


@pytest.mark.parametrize(
    "stale", ['"another"', "W/{etag}", "Thu, 26 Nov 2026 10:00:00 GMT", "{etag} "]
)
def test_a_file_that_has_changed_is_sent_whole_not_mixed(anyone, resumable, stale):
    url, etag = resumable
    headers = {"HTTP_RANGE": "bytes=10-", "HTTP_IF_RANGE": stale.format(etag=etag)}
    answer, content = fetch(anyone, url, **headers)
    assert (answer.status_code, content) == (200, CONTENT)


@pytest.mark.parametrize("form", ["{etag}", "W/{etag}", '"x", {etag}', "*"])
def test_what_the_client_has_already_is_304_and_costs_no_byte(anyone, resumable, form):
    url, etag = resumable
    answer, content = fetch(anyone, url, HTTP_IF_NONE_MATCH=form.format(etag=etag))
    assert (answer.status_code, content, answer["ETag"]) == (304, b"", etag)
    assert answer["Cache-Control"] == "private, max-age=0"
    assert fetch(anyone, url, HTTP_IF_NONE_MATCH='"x"')[0].status_code == 200
    assert fetch(anyone, url, HTTP_IF_MATCH='"x"')[0].status_code == 412
    assert fetch(anyone, url, HTTP_IF_MATCH=etag)[0].status_code == 200


def test_head_says_what_get_says_and_ignores_a_range(anyone, resumable):
    url, _ = resumable
    got, head = fetch(anyone, url)[0], anyone.head(url, HTTP_RANGE="bytes=10-")
    assert (head.status_code, b"".join(head)) == (200, b"")
    same = ("Content-Length", "Content-Type", "Content-Disposition", "ETag", "Accept-Ranges")
    assert {name: head[name] for name in same} == {name: got[name] for name in same}


def test_two_links_to_one_document_carry_one_etag(api, anyone, awa, koffi, resumable):
    """So that a download goes on by another link, once the first is past its life."""
    _, etag = resumable
    other = link(api(koffi), Epreuve.objects.get())["url"]
    answer, content = fetch(anyone, other, HTTP_RANGE="bytes=10-", HTTP_IF_RANGE=etag)
    assert (answer.status_code, content) == (206, CONTENT[10:])


def test_a_page_of_another_origin_may_resume(anyone, resumable, settings):
    (origin,) = settings.CORS_ALLOWED_ORIGINS
    preflight = anyone.options(
        resumable[0],
        HTTP_ORIGIN=origin,
        HTTP_ACCESS_CONTROL_REQUEST_METHOD="GET",
        HTTP_ACCESS_CONTROL_REQUEST_HEADERS="if-range,range",
    )
    allowed = preflight["Access-Control-Allow-Headers"]
    assert {"range", "if-range", "if-none-match"} <= set(allowed.split(", "))
    answer = fetch(anyone, resumable[0], HTTP_ORIGIN=origin, HTTP_RANGE="bytes=1-")[0]
    assert {"ETag", "Content-Range"} <= set(answer["Access-Control-Expose-Headers"].split(", "))


def test_nginx_is_given_what_django_has_judged(anyone, resumable, settings):
    settings.ACCEL_PREFIXE = "/fichiers-internes/"
    url, etag = resumable
    answer = anyone.get(url, HTTP_RANGE="bytes=10-19")
    place = "/fichiers-internes/" + Epreuve.objects.get().fichier.name
    assert (answer.status_code, answer.content) == (200, b"")
    assert (answer["X-Accel-Redirect"], answer["ETag"]) == (place, etag)
    assert anyone.get(url, HTTP_IF_NONE_MATCH=etag).status_code == 304
    assert anyone.get(url, HTTP_RANGE=f"bytes={SIZE}-").status_code == 416


def test_two_downloads_in_a_half_hour_count_once(api, awa):
    epreuve = with_file(EpreuveFactory())
    first, again = link(api(awa), epreuve), link(api(awa), epreuve, contexte="similaire")
    assert first["nb_telechargements"] == again["nb_telechargements"] == 1
    assert Interaction.objects.get().type_interaction == "telechargement"


def test_the_corrige_is_another_document(api, anyone, awa):
    epreuve = with_file(EpreuveFactory())
    edit_epreuve(
        epreuve, par=UserFactory(), fichiers={"fichier_corrige": read_pdf(upload(pdf("corrigé")))}
    )
    body = link(api(awa), epreuve, document="corrige")
    assert body["nom_fichier"].endswith(f"{epreuve.pk}-corrige.pdf")
    assert fetch(anyone, body["url"])[1] == pdf("corrigé")


@pytest.mark.parametrize("document", ["sujet", "corrige"])
def test_a_missing_document_is_404_and_no_interaction(api, awa, document):
    url = f"/api/epreuves/{EpreuveFactory().pk}/download/"
    answer = api(awa).post(url, {"document": document})
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "fichier_absent"
    assert not Interaction.objects.exists()


def test_an_unknown_document_is_400(api, awa):
    answer = api(awa).post(f"/api/epreuves/{EpreuveFactory().pk}/download/", {"document": "notes"})
    assert answer.status_code == 400
    assert "sujet, corrige" in answer.json()["errors"][0]["detail"]


def test_an_altered_or_foreign_token_is_403(api, anyone, awa):
    url = link(api(awa), with_file(EpreuveFactory()))["url"]
    flipped = url[:-2] + ("A" if url[-2] != "A" else "B") + "/"
    for bad in (flipped, "/api/fichiers/x/", "/api/fichiers/é:b:c/", "/api/fichiers/a:b:%00/"):
        answer = anyone.get(bad)
        assert answer.status_code == 403, bad
        assert answer.json()["errors"][0]["code"] == "lien_invalide"


def test_an_expired_link_is_403(api, anyone, awa, settings):
    url = link(api(awa), with_file(EpreuveFactory()))["url"]
    settings.LIEN_DUREE_SECONDES = -1
    assert anyone.get(url).status_code == 403


def test_the_link_of_an_epreuve_hidden_since_is_404(api, anyone, awa):
    epreuve = with_file(EpreuveFactory())
    url = link(api(awa), epreuve)["url"]
    moved(epreuve, Action.ARCHIVER)
    assert anyone.get(url).status_code == 404


def test_a_file_lost_from_the_disk_is_404(api, anyone, awa):
    epreuve = with_file(EpreuveFactory())
    url = link(api(awa), epreuve)["url"]
    Path(epreuve.fichier.path).unlink()
    answer = anyone.get(url)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "fichier_absent")


def test_the_author_reads_what_waits_and_that_is_no_interaction(api, anyone, mme_dossou):
    epreuve = with_file(EpreuveFactory(statut=Statut.SOUMISE, depose_par=mme_dossou))
    body = link(api(mme_dossou), epreuve)
    assert fetch(anyone, body["url"])[0].status_code == 200
    assert (body["nb_telechargements"], Interaction.objects.count()) == (0, 0)


def test_media_have_no_address_of_their_own(anyone):
    epreuve = with_file(EpreuveFactory())
    for prefix in ("/", "/media/", "/static/"):
        assert anyone.get(prefix + epreuve.fichier.name).status_code == 404
