import datetime as dt

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from apps.recommender.admin_quality import verdicts
from apps.recommender.models import ReponseServie
from apps.recommender.services.online_quality import Rate
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db

URL = "/admin/recommender/reponseservie/"


@pytest.fixture
def office(client, rachidi):
    client.force_login(rachidi)
    return client


def answered(user, *, times=1, sources="ncf profil", clics="", version="v1", days=0):
    ReponseServie.objects.bulk_create(
        ReponseServie(
            user=user,
            genre="personnalisee",
            version_modele=version,
            epreuves=[1, 2],
            sources=sources,
            clics=clics,
            date=timezone.now() - dt.timedelta(days=days),
        )
        for _ in range(times)
    )


def text(response) -> str:
    assert response.status_code == 200
    return response.content.decode()


def test_before_anything_is_shown_the_page_says_so(office):
    page = text(office.get(URL))
    assert "Rien n&#x27;a été montré" in page
    assert "<svg" not in page.partition("content-main")[2].partition("</main>")[0]


def test_rates_are_drawn_with_the_same_numbers_as_tables(office, awa):
    answered(awa, times=90, clics="1")
    answered(awa, times=30, version="v2")
    page = text(office.get(URL))
    # 90 of the 120 shown from the model, none of the 120 popular ones.
    assert "<td>120</td><td>90</td><td>75,0 %</td><td>66,6 % à 81,9 %</td>" in page
    assert "<td>120</td><td>0</td><td>0,0 %</td><td>0,0 % à 3,1 %</td>" in page
    assert page.count('<figure class="picture">') == 3  # Nothing was asked near an épreuve.
    assert "on ne peut rien en conclure" not in page
    assert "trop peu d&#x27;épreuves montrées pour conclure (v2, v1)" in page


def test_few_answers_prove_nothing(office, awa):
    answered(awa, times=99, clics="1")
    assert "198 épreuves montrées : on ne peut rien en conclure" in text(office.get(URL))


def test_the_page_shows_the_days_asked_for_both_ends_included(office, awa):
    today = timezone.localdate()
    for days in (1, 5, 40):
        answered(awa, days=days)

    def total(first, last):
        asked = {"du": today - dt.timedelta(days=first), "au": today - dt.timedelta(days=last)}
        return office.get(URL, asked).context["total"].montrees

    assert [total(5, 1), total(4, 1), total(5, 2), total(60, 0)] == [4, 2, 2, 6]
    assert office.get(URL).context["total"].montrees == 4  # The last 30 days.


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"du": "2026-03-02", "au": "2026-03-01"}, "finit avant de commencer"),
        ({"du": "demain"}, "Saisissez une date valide"),
        ({"du": ""}, "Ce champ est obligatoire"),
        ({"au": "9999-12-31"}, "2100"),
        ({"du": "0001-01-01"}, "2000"),
    ],
)
def test_a_period_that_makes_no_sense_is_said_on_the_page(office, asked, said):
    assert said in text(office.get(URL, asked))


def test_nobody_reads_there_who_was_shown_what(office, awa, client):
    answered(awa)
    row = ReponseServie.objects.get()
    assert office.get(f"{URL}{row.pk}/change/").status_code == 404
    assert office.get(f"{URL}add/").status_code == 404
    assert awa.username not in text(office.get(URL))


def test_it_takes_the_permission(client):
    moderator = UserFactory(role="administrateur", is_superuser=False)
    client.force_login(moderator)
    assert client.get(URL).status_code == 403
    moderator.user_permissions.add(Permission.objects.get(codename="view_reponseservie"))
    assert client.get(URL).status_code == 200


def test_the_page_reads_the_answers_once(office, awa, django_assert_max_num_queries):
    for version in ("v1", "v2", "v3"):
        answered(awa, version=version, times=3)
    # The session, its person, the answers, the version that serves.
    with django_assert_max_num_queries(4):
        office.get(URL)


def test_a_version_is_better_only_when_the_intervals_say_so(db):
    good, bad, near, few = Rate(1000, 200), Rate(1000, 100), Rate(1000, 190), Rate(20, 20)
    assert verdicts({"v1": bad, "v2": good}) == [
        "v2 est mieux suivie que v1 : leurs intervalles ne se touchent pas."
    ]
    assert "moins suivie" in verdicts({"v1": good, "v2": bad})[0]
    assert "Rien ne départage" in verdicts({"v1": near, "v2": good})[0]
    assert "pour conclure (v1)" in verdicts({"v1": few, "v2": bad})[0]
    assert verdicts({"v1": good}) == []
