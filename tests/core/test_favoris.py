import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.models import Epreuve, Favori, Interaction, Statut, User
from apps.core.review import Action
from apps.core.selectors import Popularity, popularity
from apps.core.services.favoris import add_favori, remove_favori
from tests.core.test_interactions import at_once
from tests.factories import (
    EpreuveFactory,
    EvaluationFactory,
    FavoriFactory,
    UserFactory,
    moved,
    seen,
)

pytestmark = pytest.mark.django_db
MINE = "/api/moi/favoris/"


def url(epreuve):
    return f"/api/epreuves/{epreuve.pk}/favori/"


def mine(client):
    answer = client.get(MINE)
    assert answer.status_code == 200
    return [row["id"] for row in answer.json()["results"]]


def test_putting_and_removing_twice_is_like_once(api, awa):
    epreuve, client = EpreuveFactory(), api(awa)
    assert [client.put(url(epreuve)).status_code for _ in range(2)] == [204, 204]
    assert mine(client) == [epreuve.pk]
    assert [client.delete(url(epreuve)).status_code for _ in range(2)] == [204, 204]
    assert mine(client) == []
    kinds = list(Interaction.objects.values_list("type_interaction", flat=True))
    assert kinds == ["favori"]


def test_a_favourite_counts_while_it_is_one(awa):
    epreuve = EpreuveFactory()
    seen(awa, epreuve)
    for _ in range(2):  # Put back within the half hour, it counts again.
        add_favori(user=awa, epreuve=epreuve)
        assert popularity() == {epreuve.pk: Popularity(4, 4)}
        remove_favori(user=awa, epreuve=epreuve)
        assert popularity() == {epreuve.pk: Popularity(1, 1)}


def test_each_change_and_no_other_request_moves_the_history(api, awa):
    epreuve, client = EpreuveFactory(), api(awa)
    versions = []
    for send in (client.put, client.put, client.delete, client.delete, client.put):
        send(url(epreuve))
        versions.append(User.objects.get(pk=awa.pk).version_historique)
    added, again, removed, gone, back = versions
    assert 0 < added == again < removed == gone < back


@pytest.mark.parametrize("statut", set(Statut) - {Statut.PUBLIEE})
def test_only_what_is_published_becomes_a_favourite(api, mme_dossou, statut):
    epreuve = EpreuveFactory(statut=statut, depose_par=mme_dossou)
    assert api(mme_dossou).put(url(epreuve)).status_code == 404
    assert not Favori.objects.exists()


def test_the_last_favourite_comes_first_and_those_of_others_do_not(api, awa, koffi):
    now = timezone.now()
    first, second, third = EpreuveFactory.create_batch(3)
    for days, epreuve in ((3, second), (2, first), (1, third)):
        FavoriFactory(user=awa, epreuve=epreuve, date=now - dt.timedelta(days=days))
    FavoriFactory(user=koffi, epreuve=second, date=now)
    assert mine(api(awa)) == [third.pk, first.pk, second.pk]


def test_a_favourite_that_is_archived_is_hidden_and_comes_back_with_it(api, awa):
    epreuve = EpreuveFactory()
    FavoriFactory(user=awa, epreuve=epreuve)
    moved(epreuve, Action.ARCHIVER)
    assert mine(api(awa)) == []
    for action in (Action.RESTAURER, Action.PUBLIER):
        moved(epreuve, action)
    assert mine(api(awa)) == [epreuve.pk]


def test_the_list_takes_as_many_queries_for_ten_as_for_two(api, awa, django_assert_num_queries):
    def rows(count):
        for _ in range(count):
            epreuve = EpreuveFactory(apart=True)
            FavoriFactory(user=awa, epreuve=epreuve)

    rows(2)
    with CaptureQueriesContext(connection) as few:
        assert len(mine(api(awa))) == 2
    rows(8)
    with django_assert_num_queries(len(few)):
        assert len(mine(api(awa))) == 10


def test_a_detail_says_what_is_mine_and_nothing_to_nobody(api, anyone, awa, koffi):
    epreuve = EpreuveFactory()
    FavoriFactory(user=awa, epreuve=epreuve)
    evaluation = EvaluationFactory(user=awa, epreuve=epreuve, note_difficulte=2, note_pertinence=5)
    detail = f"/api/epreuves/{epreuve.pk}/"
    hers, his = (api(who).get(detail).json() for who in (awa, koffi))
    assert (hers["favori"], hers["mon_evaluation"]["id"]) == (True, evaluation.pk)
    assert hers["mon_evaluation"]["note_pertinence"] == 5
    assert (his["favori"], his["deja_vue"], his["mon_evaluation"]) == (False, False, None)
    assert {"favori", "deja_vue", "mon_evaluation"}.isdisjoint(anyone.get(detail).json())


def test_a_detail_takes_five_queries(api, awa, django_assert_num_queries):
    epreuve = EpreuveFactory()
    FavoriFactory.create_batch(3, epreuve=epreuve)
    EvaluationFactory.create_batch(3, epreuve=epreuve)
    with django_assert_num_queries(5):
        api(awa).get(f"/api/epreuves/{epreuve.pk}/")


@pytest.mark.django_db(transaction=True)
def test_the_same_favourite_at_once_is_one_row_and_one_interaction():
    user, epreuve = UserFactory(), EpreuveFactory()
    at_once(lambda _: add_favori(user=user, epreuve=epreuve), range(8))
    assert (Favori.objects.count(), Interaction.objects.count()) == (1, 1)
    at_once(lambda _: remove_favori(user=user, epreuve=epreuve), range(8))
    assert not Favori.objects.exists()
    assert User.objects.get(pk=user.pk).version_historique >= 2
    assert Epreuve.objects.get().pk == epreuve.pk
