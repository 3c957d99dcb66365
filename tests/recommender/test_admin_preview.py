import datetime as dt
import re

import pytest
from django.contrib.admin.models import LogEntry
from django.core.cache import cache

from apps.core.models import Interaction
from apps.recommender import telemetry
from apps.recommender.admin_preview import _reasons
from apps.recommender.services.preview import CONSULTED, seen_as
from apps.recommender.services.recommendations import Reason
from tests.factories import EpreuveFactory, UserFactory, seen

pytestmark = pytest.mark.django_db

PAGE = "/admin/recommender/modelmetadata/voir-comme/"
PERSONALIZED = "/api/recommendations/personalized/"


@pytest.fixture
def student(bank):
    return bank.students["MATH"][0]


@pytest.fixture
def office(client, rachidi):
    client.force_login(rachidi)
    return client


def look(office, person) -> str:
    return " ".join(office.post(PAGE, {"personne": person.pk}).content.decode().split())


def test_the_administrator_sees_what_the_student_sees(trained, student, rachidi, api):
    shown = seen_as(student, par=rachidi).answer.recommendations
    got = api(student).get(PERSONALIZED).json()["recommendations"]
    assert [(one.epreuve.pk, one.score, one.source) for one in shown] == [
        (one["epreuve"]["id"], one["score"], one["source"]) for one in got
    ]


def test_the_page_shows_reasons_sources_and_what_was_done_last(trained, student, office):
    page = look(office, student)
    assert "Le modèle v1 connaît cette personne." in page
    assert page.count('<th scope="row">') == 17, "ten recommended, seven done"
    assert re.search(r"parce que : <a [^>]*>[^<]*</a> \(vue, \+0,[0-9]{3}\)", page)


def test_a_reason_that_would_read_as_nothing_is_none(student):
    epreuve = EpreuveFactory()
    reasons = [Reason(epreuve, amount, "vue") for amount in (0.0004, 0.0006)]
    assert _reasons(reasons).count("parce que") == 1
    assert "+0,000" not in _reasons(reasons)


def test_only_the_model_gives_scores(bank, office, student):
    page = look(office, student)
    assert re.search(r">populaires</span></td><td>–</td>", page)
    assert not re.search(r"<td>[01],[0-9]{3}</td>", page)


def test_days_are_those_of_the_institute(bank, office, student):
    midnight = dt.datetime(2026, 3, 1, 23, 30, tzinfo=dt.UTC)
    Interaction.objects.filter(user=student).update(date=midnight)
    page = look(office, student)
    assert "02/03/2026" in page
    assert "01/03/2026" not in page


def test_to_look_counts_as_nothing_but_is_written_down(trained, student, office, rachidi):
    before = Interaction.objects.count(), telemetry.served(1)
    history = student.version_historique
    look(office, student)
    assert (Interaction.objects.count(), telemetry.served(1)) == before
    student.refresh_from_db()
    assert student.version_historique == history
    (line,) = LogEntry.objects.all()
    assert (line.user, line.object_id, line.change_message) == (rachidi, str(student.pk), CONSULTED)


def test_nothing_is_kept_under_the_name_of_who_was_looked_at(trained, student, office, api):
    look(office, student)
    assert api(student).get(PERSONALIZED).json()["depuis_cache"] is False
    cache.clear()


def test_who_declined_is_shown_what_they_see(trained, student, office, api):
    student.personnalisation = False
    student.save()
    page = look(office, student)
    assert "A refusé les recommandations personnalisées" in page
    assert "(vue, +" not in page
    assert ">modèle<" not in page


def test_a_newcomer_and_a_bank_without_a_model_have_a_page(bank, office, student):
    assert "Aucun modèle ne sert." in look(office, student)
    assert "Rien encore." in look(office, UserFactory())


def test_a_stranger_to_the_model_is_told(trained, bank, office):
    stranger = UserFactory()
    seen(stranger, *bank.epreuves["MATH"][:3])
    assert "Inconnue du modèle v1" in look(office, stranger)


@pytest.mark.parametrize("person", ["", "x", "999999"])
def test_nobody_is_told_and_writes_nothing(office, db, person):
    page = office.post(PAGE, {"personne": person})
    assert page.status_code == 200
    assert "hoisi" in page.content.decode()
    assert not LogEntry.objects.exists()


def test_a_link_writes_nothing(trained, student, office):
    office.get(PAGE, {"personne": student.pk})
    assert not LogEntry.objects.exists()


def test_a_teacher_looks_at_nobody(client, mme_dossou, awa):
    client.force_login(mme_dossou)
    assert client.post(PAGE, {"personne": awa.pk}).status_code == 302
    assert not LogEntry.objects.exists()
