import datetime as dt
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from threading import Barrier, Thread

import pytest
from django.core.files.base import ContentFile
from django.db import connection
from django.utils import timezone

from apps.core.models import Epreuve, Interaction, TypeInteraction
from apps.core.review import Action
from apps.core.services.epreuves import edit_epreuve
from apps.core.services.favoris import add_favori
from apps.core.services.files import Pdf
from apps.core.services.interactions import record_interaction
from apps.paquets.models import DocumentPaquet, Paquet
from apps.paquets.services import paquets
from tests.factories import EpreuveFactory, MatiereFactory, moved, pdf, seen, with_file

pytestmark = pytest.mark.django_db

URL = "/api/paquets/"
BUDGET = 5_000_000


def sized(epreuve, octets):
    """A document of that length, which differs from all others by its first bytes."""
    return with_file(epreuve, str(epreuve.pk).encode().ljust(octets, b"-"))


def with_corrige(epreuve, content=None, **fields):
    content = content or pdf(f"corrigé {epreuve.pk}")
    epreuve.fichier_corrige.save("", ContentFile(content), save=False)
    epreuve.taille_corrige_octets = len(content)
    epreuve.sha256_corrige = hashlib.sha256(content).hexdigest()
    for name, value in fields.items():
        setattr(epreuve, name, value)
    epreuve.save()
    return epreuve


@pytest.fixture
def three(awa):
    return [with_file(EpreuveFactory(titre=f"Analyse {n}")) for n in (1, 2, 3)]


def preview(client, **query):
    answer = client.get(URL, {"budget_octets": BUDGET} | query)
    assert answer.status_code == 200, answer.content.decode()
    return answer.json()


def asked(client, **body):
    answer = client.post(URL, {"budget_octets": BUDGET} | body)
    assert answer.status_code in {200, 201}, answer.content.decode()
    return answer.json()


def fetch(client, paquet, **headers):
    """The answer, and its body read to the end, which closes it."""
    answer = client.get(paquet["url"], headers=headers)
    body = b"".join(answer)
    return answer, body


def received(client, **body):
    """The archive of a paquet that was asked for and fetched."""
    return zipfile.ZipFile(io.BytesIO(fetch(client, asked(client, **body))[1]))


def manifest(archive):
    return json.loads(archive.read("manifeste.json"))["documents"]


def ids(said):
    return [one["epreuve"] for one in said["documents"]]


# --- What is in it -----------------------------------------------------------------------


def test_the_preview_says_the_size_of_the_archive_to_the_byte(api, awa, three):
    said = preview(api(awa))
    paquet = asked(api(awa))
    answer, body = fetch(api(awa), paquet)
    assert said["taille_octets"] == paquet["taille_octets"] == len(body)
    assert said["nb_epreuves"] == len(said["documents"]) == 3
    assert said["documents"][0].keys() == {"epreuve", "titre", "document", "taille_octets"}
    assert answer.headers["Content-Length"] == str(len(body))


def test_the_archive_is_a_sound_zip_of_the_very_documents(api, awa, three):
    archive = received(api(awa))
    assert archive.testzip() is None
    assert archive.namelist()[:2] == ["index.html", "manifeste.json"]
    for row in three:
        (name,) = (one["nom"] for one in manifest(archive) if one["epreuve"] == row.pk)
        with row.fichier.open() as stored:
            assert archive.read(name) == stored.read()


def test_the_sha_256_said_is_that_of_the_archive(api, awa, three):
    paquet = asked(api(awa))
    answer, body = fetch(api(awa), paquet)
    assert hashlib.sha256(body).hexdigest() == paquet["sha256"]
    assert answer.headers["ETag"] == f'"{paquet["sha256"]}"'
    assert answer.headers["Content-Type"] == "application/zip"
    assert paquet["nom_fichier"] in answer.headers["Content-Disposition"]


def test_the_manifest_says_of_each_file_what_it_is_and_its_sum(api, awa, three):
    with_corrige(three[0])
    said = preview(api(awa))["documents"]
    archive = received(api(awa))
    assert json.loads(archive.read("manifeste.json"))["version"] == 1
    assert [{name: one[name] for name in said[0]} for one in manifest(archive)] == said
    assert len(said) == 4
    for one in manifest(archive):
        content = archive.read(one["nom"])
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["taille_octets"] == len(content)
        assert one["titre"] == Epreuve.objects.get(pk=one["epreuve"]).titre


def test_the_page_links_each_file_and_shows_a_title_as_text(api, awa):
    row = with_file(EpreuveFactory(titre="<script>alert(1)</script> & Cie"))
    archive = received(api(awa))
    page = archive.read("index.html").decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Cie" in page
    assert re.findall(r'href="([^"]+)"', page) == [manifest(archive)[0]["nom"]]
    assert f"{row.annee}" in page


def test_names_hold_on_every_system(api, awa):
    for title in ("Épreuve d'été : 1/2 «ok» <?>", "../../etc/passwd", "数学", "CON"):
        with_file(EpreuveFactory(titre=title))
    archive = received(api(awa))
    names = [one["nom"] for one in manifest(archive)]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"epreuves/[a-z0-9-]*[0-9]+\.pdf", name) for name in names)
    assert set(names) < set(archive.namelist())


def test_the_language_of_the_one_who_asks_changes_no_byte(api, awa, three):
    french, english = (
        api(awa).post(URL, {"budget_octets": BUDGET}, headers={"Accept-Language": language})
        for language in ("fr", "en")
    )
    assert (french.status_code, english.status_code) == (201, 200)
    assert french.json()["sha256"] == english.json()["sha256"]


# --- What is worth most ------------------------------------------------------------------


def test_the_archive_itself_keeps_within_the_budget(api, awa):
    for _ in range(12):
        sized(EpreuveFactory(), 200_000)
    # Five documents of it are the budget to the byte: the sixth part of it goes with the rest.
    paquet = asked(api(awa), budget_octets=1_000_000)
    assert 800_000 < paquet["taille_octets"] <= 1_000_000
    assert len(preview(api(awa), budget_octets=1_000_000)["documents"]) == 4


def test_favourites_go_before_what_is_popular(api, awa, koffi):
    kept, popular = (sized(EpreuveFactory(), 600_000) for _ in range(2))
    seen(koffi, popular)
    assert ids(preview(api(awa), budget_octets=1_000_000)) == [popular.pk]
    add_favori(user=awa, epreuve=kept)
    assert ids(preview(api(awa), budget_octets=1_000_000)) == [kept.pk]


def test_filters_narrow_it(api, awa, three):
    other = with_file(EpreuveFactory(matiere=MatiereFactory(code="OPTIQUE"), annee=2019))
    assert ids(preview(api(awa), matiere="OPTIQUE")) == [other.pk]
    assert other.pk not in ids(preview(api(awa), annee_min=2020))
    assert ids(preview(api(awa), search="analyse 2")) == [three[1].pk]


def test_what_has_no_file_or_is_mine_or_not_published_stays_out(api, mme_dossou, rachidi):
    EpreuveFactory()
    with_file(EpreuveFactory(depose_par=mme_dossou))
    with_file(EpreuveFactory(statut="soumise"))
    for person in (mme_dossou, rachidi):
        found = ids(preview(api(person)))
        assert len(found) == (0 if person == mme_dossou else 1)


def test_a_corrige_goes_along_unless_it_is_not_wanted(api, awa):
    row = with_corrige(with_file(EpreuveFactory()))
    both = [one["document"] for one in preview(api(awa))["documents"]]
    one = [one["document"] for one in preview(api(awa), corriges=False)["documents"]]
    assert (both, one) == (["sujet", "corrige"], ["sujet"])
    assert preview(api(awa))["nb_epreuves"] == 1
    assert ids(preview(api(awa))) == [row.pk] * 2


def test_a_corrige_under_embargo_is_in_nobodys_paquet(api, awa, rachidi):
    later = timezone.now() + dt.timedelta(days=1)
    with_corrige(with_file(EpreuveFactory()), corrige_visible_le=later)
    for person in (awa, rachidi):
        archive = received(api(person))
        assert [one["document"] for one in manifest(archive)] == ["sujet"]
        assert not any("corrige" in name for name in archive.namelist())


def test_it_costs_as_many_queries_for_thirty_as_for_three(
    api, awa, three, django_assert_num_queries
):
    client = api(awa)
    with django_assert_num_queries(8):  # Popularity is counted once a minute.
        preview(client)
    for _ in range(30):
        with_file(EpreuveFactory())
    with django_assert_num_queries(7):
        assert preview(client)["nb_epreuves"] == 33


# --- Next time only what is new ----------------------------------------------------------


def test_once_received_the_next_one_holds_only_what_is_new(api, awa, three):
    received(api(awa))
    assert preview(api(awa))["documents"] == []
    new = with_file(EpreuveFactory())
    assert [one["epreuve"] for one in manifest(received(api(awa)))] == [new.pk]


def test_what_was_received_takes_the_place_of_nothing_new(api, awa, three, monkeypatch):
    monkeypatch.setattr(paquets, "EPREUVES_MAX", 1)
    came = [manifest(received(api(awa)))[0]["epreuve"] for _ in three]
    assert sorted(came) == sorted(row.pk for row in three)


def test_one_asked_for_and_not_fetched_is_not_received(api, awa, three):
    asked(api(awa))
    assert len(ids(preview(api(awa)))) == 3


def test_a_part_is_not_received_and_its_rest_is(api, awa, three):
    paquet = asked(api(awa))
    fetch(api(awa), paquet, Range="bytes=0-999")
    assert Paquet.objects.get().remis_le is None
    fetch(api(awa), paquet, Range="bytes=1000-")
    assert Paquet.objects.get().remis_le is not None
    assert ids(preview(api(awa))) == []


def test_a_head_is_no_delivery(api, awa, three):
    answer = api(awa).head(asked(api(awa))["url"])
    assert (answer.status_code, b"".join(answer)) == (200, b"")
    assert Paquet.objects.get().remis_le is None


def test_the_date_of_delivery_is_that_of_the_first(api, awa, three):
    paquet = asked(api(awa))
    fetch(api(awa), paquet)
    first = Paquet.objects.get().remis_le
    fetch(api(awa), paquet)
    assert Paquet.objects.get().remis_le == first


def test_what_another_received_is_still_new_to_me(api, awa, koffi, three):
    received(api(koffi))
    assert len(ids(preview(api(awa)))) == 3


def test_what_i_downloaded_by_itself_is_left_out_and_what_i_saw_is_not(api, awa, three):
    seen(awa, three[0])
    record_interaction(user=awa, epreuve=three[1], type_interaction=TypeInteraction.TELECHARGEMENT)
    assert set(ids(preview(api(awa)))) == {three[0].pk, three[2].pk}


def test_deja_takes_up_again_all_that_i_have(api, awa, three):
    received(api(awa))
    record_interaction(user=awa, epreuve=three[1], type_interaction=TypeInteraction.TELECHARGEMENT)
    assert len(ids(preview(api(awa), deja=True))) == 3


def test_a_new_file_of_a_received_epreuve_is_new(api, awa, rachidi, three):
    received(api(awa))
    replace_file(three[0], rachidi)
    assert ids(preview(api(awa))) == [three[0].pk]


def test_of_a_received_epreuve_a_corrige_that_came_since_goes_alone(api, awa, three):
    received(api(awa))
    with_corrige(three[0])
    found = preview(api(awa))["documents"]
    assert [(one["epreuve"], one["document"]) for one in found] == [(three[0].pk, "corrige")]


def test_a_paquet_is_no_interaction(api, awa, three):
    received(api(awa))
    assert not Interaction.objects.exists()
    assert not Epreuve.objects.filter(nb_telechargements__gt=0).exists()


# --- Asking again ------------------------------------------------------------------------


def test_the_same_demand_after_a_lost_answer_is_the_same_paquet(api, awa, three):
    first = api(awa).post(URL, {"budget_octets": BUDGET})
    again = api(awa).post(URL, {"budget_octets": BUDGET})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["sha256"] == again.json()["sha256"]
    assert (Paquet.objects.count(), DocumentPaquet.objects.count()) == (1, 3)


def test_a_file_replaced_between_its_two_readings_is_a_410_to_ask_again(
    api, awa, three, settings, monkeypatch
):
    readable = paquets._readable

    def replaced_just_after(documents):
        read = list(readable(documents))
        (Path(settings.MEDIA_ROOT) / three[0].fichier.name).unlink()
        return read

    monkeypatch.setattr(paquets, "_readable", replaced_just_after)
    answer = api(awa).post(URL, {"budget_octets": BUDGET})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (410, "paquet_perime")
    assert not Paquet.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_same_demand_four_times_at_once_is_one_paquet(api, awa, three):
    together, statuses = Barrier(4), []

    def ask():
        together.wait()
        statuses.append(api(awa).post(URL, {"budget_octets": BUDGET}).status_code)
        connection.close()

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 200, 201]
    assert (Paquet.objects.count(), DocumentPaquet.objects.count()) == (1, 3)


def test_nothing_new_is_a_409_and_leaves_no_row(api, awa):
    answer = api(awa).post(URL, {"budget_octets": BUDGET})
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["code"] == "rien_de_nouveau"
    assert not Paquet.objects.exists()


def test_a_lost_or_cut_file_does_not_keep_the_others_from_leaving(
    api, awa, three, settings, caplog
):
    media = Path(settings.MEDIA_ROOT)
    (media / three[0].fichier.name).unlink()
    (media / three[1].fichier.name).write_bytes(b"%PDF-")
    archive = received(api(awa))
    assert [one["epreuve"] for one in manifest(archive)] == [three[2].pk]
    assert archive.testzip() is None
    warned = {record.args[0] for record in caplog.records if "absent du disque" in record.msg}
    assert warned == {three[0].pk, three[1].pk}


def test_what_nobody_fetched_is_forgotten_with_its_link(api, awa, koffi, three):
    asked(api(awa))
    asked(api(koffi))
    Paquet.objects.update(date=timezone.now() - dt.timedelta(days=8))
    new = asked(api(awa), niveau="L2", corriges=False, search="Analyse 1")
    assert Paquet.objects.get(user=awa).sha256 == new["sha256"]
    assert Paquet.objects.filter(user=koffi).exists()


def test_of_one_fetched_only_what_it_brought_outlives_its_link(api, awa, three):
    first = fetch(api(awa), asked(api(awa)))[1]
    Paquet.objects.update(date=timezone.now() - dt.timedelta(days=8))
    with_file(EpreuveFactory())
    asked(api(awa))
    old = Paquet.objects.get(remis_le__isnull=False)
    assert (old.page, old.manifeste, old.documents.count()) == ("", "", 3)
    # Asked for again, it is whole again.
    Epreuve.objects.exclude(pk__in=[row.pk for row in three]).delete()
    assert fetch(api(awa), asked(api(awa), deja=True))[1] == first


def test_asking_costs_as_many_queries_for_thirty_as_for_three(
    api, awa, three, django_assert_max_num_queries
):
    preview(api(awa))
    with django_assert_max_num_queries(20) as few:
        asked(api(awa))
    for _ in range(30):
        with_file(EpreuveFactory())
    with django_assert_max_num_queries(20) as many:
        asked(api(awa))
    assert len(few) == len(many)


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({}, "budget_octets", "required"),
        ({"budget_octets": 999_999}, "budget_octets", "min_value"),
        ({"budget_octets": 100_000_001}, "budget_octets", "max_value"),
        ({"budget_octets": "beaucoup"}, "budget_octets", "invalid"),
        ({"budget_octets": BUDGET, "matiere": "ABSENTE"}, "matiere", None),
        ({"budget_octets": BUDGET, "page": 1}, "page", "parametre"),
        ({"budget_octets": BUDGET, "deja": "peut-être"}, "deja", "invalid"),
    ],
)
def test_what_cannot_be_asked_is_refused_alike_in_both_forms(api, awa, body, attr, code):
    for answer in (api(awa).get(URL, body), api(awa).post(URL, body)):
        error = answer.json()["errors"][0]
        assert (answer.status_code, error["attr"]) == (400, attr)
        assert code in {None, error["code"]}


@pytest.mark.parametrize("body", ["[1]", "[[]]", '"x"', "1", "null"])
def test_a_body_that_is_no_object_is_a_400(api, awa, body):
    answer = api(awa).generic("POST", URL, body, "application/json")
    assert answer.status_code == 400, answer.content.decode()


# --- Broken lines ------------------------------------------------------------------------


def test_a_download_cut_anywhere_goes_on_to_the_same_bytes(api, awa, three):
    paquet = asked(api(awa))
    whole = fetch(api(awa), paquet)[1]
    got = b""
    for cut in (1, 300, 31, 2_000, 10**9):
        end = len(got) + cut - 1
        answer, part = fetch(
            api(awa), paquet, Range=f"bytes={len(got)}-{end}", If_Range=f'"{paquet["sha256"]}"'
        )
        assert answer.status_code == 206
        got += part
    assert got == whole


def test_past_the_end_is_a_416_with_the_size(api, awa, three):
    paquet = asked(api(awa))
    size = paquet["taille_octets"]
    answer = api(awa).get(paquet["url"], headers={"Range": f"bytes={size}-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}")


def test_whoever_has_it_is_told_so_and_another_etag_gets_the_whole(api, awa, three):
    paquet = asked(api(awa))
    etag = f'"{paquet["sha256"]}"'
    assert fetch(api(awa), paquet, If_None_Match=etag)[0].status_code == 304
    answer, body = fetch(api(awa), paquet, Range="bytes=10-", If_Range='"autre"')
    assert (answer.status_code, len(body)) == (200, paquet["taille_octets"])


def test_it_is_sent_by_django_where_nginx_sends_the_files(api, awa, three, settings):
    settings.ACCEL_PREFIXE = "/fichiers-internes/"
    answer, body = fetch(api(awa), asked(api(awa)))
    assert "X-Accel-Redirect" not in answer.headers
    assert zipfile.ZipFile(io.BytesIO(body)).testzip() is None


def test_its_bytes_are_compressed_for_nobody(api, awa, three):
    paquet = asked(api(awa))
    answer, body = fetch(api(awa), paquet, Accept_Encoding="br, gzip")
    assert "Content-Encoding" not in answer.headers
    assert hashlib.sha256(body).hexdigest() == paquet["sha256"]


def test_it_goes_on_with_another_link_to_the_same(api, awa, three):
    first = asked(api(awa))
    begun = fetch(api(awa), first, Range="bytes=0-99")[1]
    rest = fetch(api(awa), asked(api(awa)), Range="bytes=100-")[1]
    assert hashlib.sha256(begun + rest).hexdigest() == first["sha256"]


# --- What changes meanwhile --------------------------------------------------------------


def replace_file(row, person):
    content = pdf(f"neuf {row.pk}")
    new = Pdf(ContentFile(content), len(content), hashlib.sha256(content).hexdigest(), 1)
    edit_epreuve(row, par=person, fichiers={"fichier": new})


def archive_it(row, person):
    moved(row, Action.ARCHIVER)


def delete_it(row, person):
    row.delete()


def put_under_embargo(row, person):
    row.corrige_visible_le = timezone.now() + dt.timedelta(days=1)
    row.save()


def remove_corrige(row, person):
    edit_epreuve(row, par=person, fichiers={"fichier_corrige": None})


@pytest.mark.parametrize(
    "change", [replace_file, archive_it, delete_it, put_under_embargo, remove_corrige]
)
def test_between_two_pieces_a_changed_document_ends_it_rather_than_mix(
    api, awa, rachidi, three, change, django_capture_on_commit_callbacks
):
    with_corrige(three[0])
    paquet = asked(api(awa))
    fetch(api(awa), paquet, Range="bytes=0-999")
    with django_capture_on_commit_callbacks(execute=True):
        change(three[0], rachidi)
    answer = api(awa).get(paquet["url"], headers={"Range": "bytes=1000-"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (410, "paquet_perime")
    # The next one is sound.
    assert received(api(awa)).testzip() is None


def test_another_title_changes_nothing_of_what_is_on_its_way(api, awa, rachidi, three):
    paquet = asked(api(awa))
    edit_epreuve(three[0], par=rachidi, fichiers={}, titre="Autrement dit, beaucoup plus long")
    body = fetch(api(awa), paquet)[1]
    assert hashlib.sha256(body).hexdigest() == paquet["sha256"]


def test_a_file_gone_while_it_is_read_breaks_off(api, awa, three, settings):
    paquet = asked(api(awa))
    answer = api(awa).get(paquet["url"])
    (Path(settings.MEDIA_ROOT) / three[0].fichier.name).unlink()
    with pytest.raises(FileNotFoundError):
        b"".join(answer)
    assert Paquet.objects.get().remis_le is None


def test_a_link_ends_with_its_time_with_the_account_and_when_altered(api, awa, three, settings):
    paquet = asked(api(awa))
    assert api(awa).get(paquet["url"][:-3] + "xx/").status_code == 403
    settings.PAQUET_DUREE_SECONDES = -1
    assert api(awa).get(paquet["url"]).status_code == 403
    settings.PAQUET_DUREE_SECONDES = 600
    awa.is_active = False
    awa.save()
    refused = api(None).get(paquet["url"])
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "lien_invalide")


def test_a_link_to_a_file_opens_no_paquet(api, awa, three):
    link = api(awa).post(f"/api/epreuves/{three[0].pk}/download/").json()["url"]
    token = link.rstrip("/").rpartition("/")[2]
    assert api(awa).get(f"{URL}fichiers/{token}/").status_code == 403


def test_fetching_costs_as_many_queries_for_thirty_as_for_three(
    api, awa, three, django_assert_num_queries
):
    few = asked(api(awa))
    for _ in range(30):
        with_file(EpreuveFactory())
    many = asked(api(awa))
    for paquet in (few, many):
        with django_assert_num_queries(2):
            fetch(api(awa), paquet, Range="bytes=0-10")
    with django_assert_num_queries(3):
        fetch(api(awa), many)


def test_one_account_asks_so_often_and_previews_as_it_likes(api, awa, three, monkeypatch):
    monkeypatch.setattr("apps.paquets.views.PaquetThrottle.get_rate", lambda self: "2/hour")
    statuses = [api(awa).post(URL, {"budget_octets": BUDGET}).status_code for _ in range(3)]
    assert statuses == [201, 200, 429]
    assert api(awa).get(URL, {"budget_octets": BUDGET}).status_code == 200


def test_no_account_no_paquet_left(api, awa, three):
    received(api(awa))
    awa.delete()
    assert not Paquet.objects.exists()
    assert not DocumentPaquet.objects.exists()


def test_its_memory_does_not_grow_with_it(api, awa):
    import tracemalloc

    for _ in range(4):
        sized(EpreuveFactory(), 8_000_000)
    paquet = asked(api(awa), budget_octets=50_000_000)
    tracemalloc.start()
    try:
        answer = api(awa).get(paquet["url"])
        total = sum(map(len, answer))
        archive = paquets.open_archive(Paquet.objects.get())
        hashlib.file_digest(archive, "sha256")
        archive.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == paquet["taille_octets"] > 32_000_000
    assert peak < 4_000_000
