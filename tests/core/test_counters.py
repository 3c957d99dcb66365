"""Counters say how much readers use an épreuve: not its author, nor the moderators."""

import random

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.models import Epreuve, Evaluation, Interaction, Role, TypeInteraction, User
from apps.core.selectors import note_distribution, popularity
from apps.core.services.counters import recount
from apps.core.services.evaluations import change_notes, rate_epreuve, withdraw_evaluation
from apps.core.services.interactions import record_interaction
from tests.core.test_interactions import at_once
from tests.factories import EpreuveFactory, EvaluationFactory, UserFactory, seen, with_file

VUE, TELECHARGEMENT = TypeInteraction.VUE, TypeInteraction.TELECHARGEMENT
NAMES = (
    "nb_vues",
    "nb_telechargements",
    "nb_evaluations",
    "somme_difficulte",
    "somme_pertinence",
)


def counters(epreuve):
    return Epreuve.objects.values_list(*NAMES).get(pk=epreuve.pk)


def counted_by_hand(epreuve):
    """From all rows, one by one, in Python."""

    def reader(row):
        return not row.user.is_staff and row.user_id != epreuve.depose_par_id

    kinds = [row.type_interaction for row in epreuve.interactions.all() if reader(row)]
    notes = [row for row in epreuve.evaluations.all() if reader(row)]
    difficulte = [row.note_difficulte for row in notes]
    pertinence = [row.note_pertinence for row in notes]
    totals = (len(notes), sum(difficulte), sum(pertinence))
    return (kinds.count(VUE), kinds.count(TELECHARGEMENT), *totals), difficulte, pertinence


def use(user, epreuve, note=5):
    """Everything that a counter counts, once."""
    for kind in (VUE, TELECHARGEMENT):
        record_interaction(user=user, epreuve=epreuve, type_interaction=kind)
    rate_epreuve(user=user, epreuve=epreuve, note_difficulte=note, note_pertinence=note)


def set_role(user, role):
    User.objects.filter(pk=user.pk).update(role=role, is_staff=role == Role.ADMINISTRATEUR)
    user.refresh_from_db()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "counts"),
    [("awa", True), ("m_zinsou", True), ("mme_dossou", False), ("rachidi", False)],
)
def test_all_is_recorded_and_only_what_readers_do_counts(request, mme_dossou, who, counts):
    person, epreuve = request.getfixturevalue(who), EpreuveFactory(depose_par=mme_dossou)
    use(person, epreuve)
    assert person.interactions.count() == 3
    assert person.evaluations.count() == 1
    assert counters(epreuve) == ((1, 1, 1, 5, 5) if counts else (0, 0, 0, 0, 0))
    assert note_distribution(epreuve)["pertinence"][5] == counts
    assert (epreuve.pk in popularity()) is counts


@pytest.mark.django_db
def test_an_author_is_a_reader_of_what_others_or_nobody_deposited(mme_dossou, m_zinsou):
    for epreuve in (EpreuveFactory(depose_par=m_zinsou), EpreuveFactory(depose_par=None)):
        use(mme_dossou, epreuve)
        assert counters(epreuve) == (1, 1, 1, 5, 5)


def test_the_author_s_own_answer_says_that_nothing_moved(api, mme_dossou):
    epreuve = with_file(EpreuveFactory(depose_par=mme_dossou))
    viewed = api(mme_dossou).post(f"/api/epreuves/{epreuve.pk}/view/")
    assert (viewed.status_code, viewed.json()) == (201, {"enregistree": True, "nb_vues": 0})
    downloaded = api(mme_dossou).post(f"/api/epreuves/{epreuve.pk}/download/").json()
    assert downloaded["nb_telechargements"] == 0


# --- When a role changes -----------------------------------------------------------------


@pytest.mark.django_db
def test_what_a_moderator_withdraws_once_a_student_was_never_added(awa, koffi):
    epreuve = EpreuveFactory()
    use(koffi, epreuve, note=2)
    set_role(awa, Role.ADMINISTRATEUR)
    use(awa, epreuve)
    set_role(awa, Role.ETUDIANT)
    withdraw_evaluation(awa.evaluations.get())
    assert counters(epreuve)[2:] == (1, 2, 2)
    withdraw_evaluation(koffi.evaluations.get())
    assert counters(epreuve)[2:] == (0, 0, 0)


@pytest.mark.django_db
def test_a_role_that_changes_shows_once_the_counters_are_counted_again(awa):
    epreuve = EpreuveFactory()
    use(awa, epreuve)
    set_role(awa, Role.ADMINISTRATEUR)
    assert counters(epreuve) == (1, 1, 1, 5, 5)
    recount([epreuve.pk])
    assert counters(epreuve) == (0, 0, 0, 0, 0)


# --- recount_counters --------------------------------------------------------------------


@pytest.mark.django_db
def test_a_dry_run_names_each_difference_fails_and_changes_nothing(awa, capsys):
    right, wrong = EpreuveFactory.create_batch(2)
    use(awa, right)
    use(awa, wrong)
    Epreuve.objects.filter(pk=wrong.pk).update(nb_vues=7, somme_pertinence=0)
    with pytest.raises(CommandError, match="2 compteurs diffèrent") as error:
        call_command("recount_counters", "--dry-run", verbosity=0)
    assert error.value.returncode == 1
    assert capsys.readouterr().out.splitlines() == [
        f"épreuve {wrong.pk} : nb_vues vaut 7, compté 1",
        f"épreuve {wrong.pk} : somme_pertinence vaut 0, compté 5",
    ]
    assert counters(wrong) == (7, 1, 1, 5, 0)


@pytest.mark.django_db
def test_it_repairs_what_differs_and_then_finds_nothing(awa, capsys):
    epreuves = EpreuveFactory.create_batch(3)
    use(awa, epreuves[0])
    EvaluationFactory(epreuve=epreuves[1], note_difficulte=2, note_pertinence=3)
    seen(awa, epreuves[1], type_interaction=TELECHARGEMENT)
    Epreuve.objects.filter(pk=epreuves[2].pk).update(nb_telechargements=4)
    call_command("recount_counters")
    assert capsys.readouterr().out.splitlines()[-1] == "3 épreuves, 5 compteurs corrigés."
    wanted = [(1, 1, 1, 5, 5), (0, 1, 1, 2, 3), (0, 0, 0, 0, 0)]
    assert [counters(epreuve) for epreuve in epreuves] == wanted
    call_command("recount_counters", "--dry-run", verbosity=0)
    assert capsys.readouterr().out == ""


@pytest.mark.django_db
def test_a_batch_takes_the_same_queries_however_many_epreuves_it_has(
    awa, django_assert_num_queries
):
    def ids(count):
        epreuves = EpreuveFactory.create_batch(count)
        for epreuve in epreuves:
            use(awa, epreuve)
        return [epreuve.pk for epreuve in epreuves]

    few, many = ids(2), ids(12)
    with CaptureQueriesContext(connection) as captured:
        recount(few)
    with django_assert_num_queries(len(captured)):
        recount(many)


@pytest.mark.django_db
def test_every_batch_is_counted_and_told(monkeypatch, awa):
    monkeypatch.setattr("apps.core.services.counters.BATCH", 2)
    epreuves = EpreuveFactory.create_batch(5, nb_vues=3)
    told = []
    found = recount([e.pk for e in epreuves], on_progress=lambda *progress: told.append(progress))
    assert [one.epreuve for one in found] == sorted(e.pk for e in epreuves)
    assert told == [(2, 5), (4, 5), (5, 5)]
    assert set(Epreuve.objects.values_list("nb_vues", flat=True)) == {0}


# --- Whatever is done --------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(5))
def test_after_each_step_of_a_random_walk_all_counters_are_what_the_rows_say(
    seed, api, awa, koffi, mme_dossou, rachidi
):
    rng = random.Random(seed)
    people = (awa, koffi, mme_dossou, rachidi)
    epreuves = [EpreuveFactory(depose_par=author) for author in (mme_dossou, None)]

    def rate():
        user, epreuve = rng.choice(people), rng.choice(epreuves)
        both = {"note_difficulte": rng.randint(1, 5), "note_pertinence": rng.randint(1, 5)}
        rate_epreuve(user=user, epreuve=epreuve, **both)

    def change():
        if rows := list(Evaluation.objects.order_by("pk")):
            change_notes(rng.choice(rows), note_pertinence=rng.randint(1, 5))

    def withdraw():
        if rows := list(Evaluation.objects.order_by("pk")):
            withdraw_evaluation(rng.choice(rows))

    def look():
        kind = rng.choice([VUE, TELECHARGEMENT, TypeInteraction.COMMENTAIRE])
        user, epreuve = rng.choice(people), rng.choice(epreuves)
        record_interaction(user=user, epreuve=epreuve, type_interaction=kind)

    for _ in range(40):
        rng.choices([rate, change, withdraw, look], [4, 2, 2, 2])[0]()
        for epreuve in epreuves:
            wanted, difficulte, pertinence = counted_by_hand(epreuve)
            assert counters(epreuve) == wanted
            shown = api(awa).get(f"/api/epreuves/{epreuve.pk}/").json()
            assert shown["nb_evaluations"] == len(difficulte)
            assert shown["repartition_notes"] == {
                "difficulte": {str(note): difficulte.count(note) for note in range(1, 6)},
                "pertinence": {str(note): pertinence.count(note) for note in range(1, 6)},
            }
    assert recount([epreuve.pk for epreuve in epreuves], repair=False) == []
    assert Interaction.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_counting_again_while_people_come_loses_nobody():
    users, epreuve = UserFactory.create_batch(9), EpreuveFactory(nb_vues=50)

    def work(user):
        if user is users[0]:
            for _ in range(5):
                recount([epreuve.pk])
        else:
            use(user, epreuve)

    at_once(work, users)
    assert recount([epreuve.pk], repair=False) == []
    assert counters(epreuve)[:3] == (8, 8, 8)


@pytest.mark.django_db(transaction=True)
def test_ratings_replaced_and_withdrawn_at_once_leave_exact_counters():
    users, epreuve = UserFactory.create_batch(6), EpreuveFactory()

    def work(user):
        for note in (1, 5, 3):
            rate_epreuve(user=user, epreuve=epreuve, note_difficulte=note, note_pertinence=note)
        if user is users[0]:
            withdraw_evaluation(user.evaluations.get())

    at_once(work, users)
    assert counters(epreuve)[2:] == (5, 15, 15)
