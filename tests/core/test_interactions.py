import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection
from django.utils import timezone

from apps.core.models import Contexte, Epreuve, Interaction, Statut, TypeInteraction
from apps.core.services.evaluations import rate_epreuve, withdraw_evaluation
from apps.core.services.interactions import record_interaction
from tests.factories import EpreuveFactory, UserFactory

VUE, TELECHARGEMENT = TypeInteraction.VUE, TypeInteraction.TELECHARGEMENT


@pytest.mark.django_db
def test_the_first_of_a_half_hour_counts_and_its_repeats_do_not(awa):
    epreuve = EpreuveFactory()
    noon = dt.datetime(2026, 3, 2, 12, 0, tzinfo=dt.UTC)
    minutes = (0, 29, 30, 61)
    counted = [
        record_interaction(
            user=awa, epreuve=epreuve, type_interaction=VUE, now=noon + dt.timedelta(minutes=m)
        )
        for m in minutes
    ]
    epreuve.refresh_from_db()
    assert counted == [True, False, True, True]
    assert (epreuve.nb_vues, epreuve.nb_telechargements) == (3, 0)


@pytest.mark.django_db
def test_kinds_and_people_are_counted_apart(awa, koffi):
    epreuve = EpreuveFactory()
    for user in (awa, koffi):
        for kind in (VUE, TELECHARGEMENT):
            assert record_interaction(user=user, epreuve=epreuve, type_interaction=kind)
    epreuve.refresh_from_db()
    assert (epreuve.nb_vues, epreuve.nb_telechargements) == (2, 2)


@pytest.mark.django_db
def test_where_one_came_from_is_kept(awa):
    record_interaction(
        user=awa,
        epreuve=EpreuveFactory(),
        type_interaction=VUE,
        contexte=Contexte.SIMILAIRE,
    )
    assert Interaction.objects.get().contexte == Contexte.SIMILAIRE


def test_a_view_is_201_then_200_and_counted_once(api, awa):
    url = f"/api/epreuves/{EpreuveFactory().pk}/view/"
    first, again = (api(awa).post(url) for _ in range(2))
    assert (first.status_code, first.json()) == (201, {"enregistree": True, "nb_vues": 1})
    assert (again.status_code, again.json()) == (200, {"enregistree": False, "nb_vues": 1})


def test_a_view_counts_in_the_very_next_answer(api, awa):
    epreuve = EpreuveFactory()
    api(awa).post(f"/api/epreuves/{epreuve.pk}/view/", {"contexte": "recherche"})
    detail = api(awa).get(f"/api/epreuves/{epreuve.pk}/").json()
    assert (detail["nb_vues"], detail["deja_vue"]) == (1, True)
    assert Interaction.objects.get().contexte == "recherche"


@pytest.mark.parametrize("body", [{"contexte": "import"}, {"contexte": ["direct"]}, ["direct"]])
def test_a_view_from_nowhere_is_refused(api, awa, body):
    answer = api(awa).post(f"/api/epreuves/{EpreuveFactory().pk}/view/", body)
    assert answer.status_code == 400
    assert not Interaction.objects.exists()


@pytest.mark.parametrize("statut", set(Statut) - {Statut.PUBLIEE})
def test_what_is_not_published_is_not_viewed_even_by_its_author(api, mme_dossou, statut):
    epreuve = EpreuveFactory(statut=statut, depose_par=mme_dossou)
    assert api(mme_dossou).post(f"/api/epreuves/{epreuve.pk}/view/").status_code == 404
    assert not Interaction.objects.exists()


# --- At the same time --------------------------------------------------------------------


def at_once(work, arguments):
    """Run `work` for every argument in as many threads, all let go at the same moment."""
    barrier = Barrier(len(arguments))

    def run(argument):
        try:
            barrier.wait(10)
            return work(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))


@pytest.mark.django_db(transaction=True)
def test_eight_clicks_at_once_count_once():
    user, epreuve = UserFactory(), EpreuveFactory()
    now = timezone.now()

    def click(_):
        return record_interaction(user=user, epreuve=epreuve, type_interaction=VUE, now=now)

    counted = at_once(click, range(8))
    assert sorted(counted) == [False] * 7 + [True]
    assert Epreuve.objects.get().nb_vues == Interaction.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_people_at_once_are_all_counted():
    users, epreuve = UserFactory.create_batch(8), EpreuveFactory()

    def click(user):
        return record_interaction(user=user, epreuve=epreuve, type_interaction=VUE)

    assert at_once(click, users) == [True] * 8
    assert Epreuve.objects.get().nb_vues == Interaction.objects.count() == 8


@pytest.mark.django_db(transaction=True)
def test_the_same_evaluation_at_once_is_one_row_and_exact_counters():
    user, epreuve = UserFactory(), EpreuveFactory()

    def rate(note):
        _, created = rate_epreuve(
            user=user, epreuve=epreuve, note_difficulte=note, note_pertinence=5
        )
        return created

    created = at_once(rate, [1, 2, 3, 4, 5, 5])
    mine = user.evaluations.get()
    after = Epreuve.objects.get()
    assert sum(created) == 1
    assert (after.nb_evaluations, after.somme_pertinence) == (1, 5)
    assert after.somme_difficulte == mine.note_difficulte


@pytest.mark.django_db(transaction=True)
def test_withdrawing_an_evaluation_at_once_moves_the_counters_once():
    user, epreuve = UserFactory(), EpreuveFactory()
    mine, _ = rate_epreuve(user=user, epreuve=epreuve, note_difficulte=3, note_pertinence=3)
    at_once(lambda _: withdraw_evaluation(mine), range(4))
    after = Epreuve.objects.get()
    assert (after.nb_evaluations, after.somme_difficulte, after.somme_pertinence) == (0, 0, 0)
