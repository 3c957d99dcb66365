import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.models import Epreuve, Statut, TypeInteraction
from tests.factories import EpreuveFactory, seen

pytestmark = pytest.mark.django_db
URL = "/api/moi/"


def history(client, **params):
    answer = client.get(f"{URL}historique/", params)
    assert answer.status_code == 200
    return [(row["type_interaction"], row["epreuve"]["id"]) for row in answer.json()["results"]]


def test_my_history_is_mine_the_last_first_without_what_is_hidden(api, awa, koffi):
    old, new, hidden = EpreuveFactory.create_batch(3)
    seen(awa, old, days_ago=2)
    seen(awa, new, days_ago=1, type_interaction=TypeInteraction.TELECHARGEMENT)
    seen(awa, hidden)
    seen(koffi, old)
    Epreuve.objects.filter(pk=hidden.pk).update(statut=Statut.ARCHIVEE)
    assert history(api(awa)) == [("telechargement", new.pk), ("vue", old.pk)]


def test_pages_hold_every_interaction_once(api, awa):
    epreuves = EpreuveFactory.create_batch(5)
    seen(awa, *epreuves)
    pages = [history(api(awa), page=page, page_size=2) for page in (1, 2, 3)]
    assert sorted(pk for page in pages for _, pk in page) == sorted(e.pk for e in epreuves)


def test_the_history_takes_as_many_queries_for_ten_as_for_two(api, awa, django_assert_num_queries):
    def rows(count):
        for _ in range(count):
            epreuve = EpreuveFactory(apart=True)
            seen(awa, epreuve)

    rows(2)
    with CaptureQueriesContext(connection) as few:
        assert len(history(api(awa))) == 2
    rows(8)
    with django_assert_num_queries(len(few)):
        assert len(history(api(awa))) == 10


@pytest.mark.parametrize("path", ["historique", "favoris"])
@pytest.mark.parametrize("params", [{"page": 0}, {"page_size": 101}, {"user": 1}])
def test_a_bad_query_is_refused(api, awa, path, params):
    answer = api(awa).get(f"{URL}{path}/", params)
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, next(iter(params)))
