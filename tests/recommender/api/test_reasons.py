"""What the model says of who came after it, of what came after it, and why."""

import datetime as dt
import random
from dataclasses import dataclass, replace

import pytest
from django.db import transaction
from django.utils import timezone

from apps.core.models import Epreuve, Evaluation, Interaction, Statut, TypeInteraction, User
from apps.core.review import Action
from apps.core.services.evaluations import rate_epreuve, withdraw_evaluation
from apps.recommender import model_store
from apps.recommender.services import training
from tests.conftest import forget
from tests.factories import (
    EpreuveFactory,
    EvaluationFactory,
    FiliereFactory,
    InteractionFactory,
    MatiereFactory,
    UserFactory,
    moved,
    seen,
)
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db

URL = "/api/recommendations/personalized/"
SIMILAR = "/api/recommendations/similar/"
BY_THE_MODEL = {"ncf", "historique", "contenu"}


def answered(client, **query):
    response = client.get(URL, query)
    assert response.status_code == 200, response.content
    return response.data["recommendations"]


def ids(items) -> list[int]:
    return [item["epreuve"]["id"] for item in items]


def by_the_model(items):
    return {item["epreuve"]["id"]: item for item in items if item["source"] in BY_THE_MODEL}


def published(bank, code="MATH", **fields) -> Epreuve:
    """One more of that filière, after training."""
    alike = bank.epreuves[code][0]
    fields = {"filiere": alike.filiere, "matiere": alike.matiere} | fields
    draft = EpreuveFactory(statut=Statut.SOUMISE, **fields)
    moved(draft, Action.PUBLIER)
    return draft


@pytest.fixture
def late(trained, bank) -> User:
    """A student of mathematics who came after training, and has done nothing yet."""
    return UserFactory(filiere=FiliereFactory(code="MATH"))


# --- Who came after training ------------------------------------------------------------------


def test_who_came_after_training_is_answered_from_the_first_view(late, bank, api):
    client = api(late)
    assert client.get(URL).data["source"] == "profil"
    client.post(f"/api/epreuves/{bank.epreuves['MATH'][0].pk}/view/")
    response = client.get(URL, {"top_k": 5})
    assert response.data["source"] == "historique"
    assert {item["source"] for item in response.data["recommendations"]} == {"historique"}
    assert {epreuve.pk for epreuve in bank.epreuves["MATH"]} >= set(
        ids(response.data["recommendations"])
    )


def test_a_second_view_changes_the_very_next_answer(late, bank, api):
    client = api(late)
    client.post(f"/api/epreuves/{bank.epreuves['MATH'][0].pk}/view/")
    before = {pk: item["score"] for pk, item in by_the_model(answered(client, top_k=100)).items()}
    client.post(f"/api/epreuves/{bank.epreuves['PHYS'][0].pk}/view/")
    after = {pk: item["score"] for pk, item in by_the_model(answered(client, top_k=100)).items()}
    assert bank.epreuves["PHYS"][0].pk not in after
    assert {pk: before[pk] for pk in after} != after


def test_a_favourite_changes_the_very_next_answer_and_taken_back_it_changes_it_back(
    trained, bank, api
):
    client, liked = api(bank.students["MATH"][0]), bank.epreuves["MATH"][8]
    answers = []
    for send in (client.delete, client.put, client.delete):
        assert send(f"/api/epreuves/{liked.pk}/favori/").status_code == 204
        found = by_the_model(answered(client, top_k=100))
        answers.append({pk: item["score"] for pk, item in found.items() if pk != liked.pk})
    assert answers[0] == answers[2] != answers[1]


def test_a_changed_note_changes_the_very_next_answer(trained, bank, api):
    student = bank.students["MATH"][0]
    client, liked = api(student), bank.epreuves["MATH"][1]
    notes = {"user": student, "epreuve": liked, "note_difficulte": 3}
    answers = []
    for note in (5, 1, 5):
        rate_epreuve(note_pertinence=note, **notes)
        answers.append([(pk, item["score"]) for pk, item in by_the_model(answered(client)).items()])
    assert answers[0] == answers[2] != answers[1]
    reasons = {one["epreuve"] for item in answered(client, top_k=100) for one in item["raisons"]}
    assert liked.pk in reasons
    withdraw_evaluation(Evaluation.objects.get(user=student, epreuve=liked))
    assert "ncf" in {item["source"] for item in answered(client)}


def test_whose_whole_history_is_hidden_gets_the_chain_and_no_reason(trained, bank, api):
    student = bank.students["MATH"][0]
    for epreuve in bank.epreuves["MATH"][:7]:
        moved(epreuve, Action.ARCHIVER)
    items = answered(api(student), top_k=100, expliquer=True)
    assert items[0]["source"] == "profil"
    assert not by_the_model(items)
    assert all(item["raisons"] == [] for item in items)


def test_what_is_hidden_is_a_reason_no_more(trained, bank, api):
    client, hidden = api(bank.students["MATH"][0]), bank.epreuves["MATH"][1]
    moved(hidden, Action.ARCHIVER)
    items = answered(client, top_k=100)
    assert by_the_model(items)
    assert hidden.pk not in {one["epreuve"] for item in items for one in item["raisons"]}


def test_a_teacher_with_a_past_is_answered_from_it(trained, bank, api, mme_dossou):
    own = bank.epreuves["MATH"][3]
    Epreuve.objects.filter(pk=own.pk).update(depose_par=mme_dossou)
    seen(mme_dossou, bank.epreuves["MATH"][0], own)
    items = answered(api(mme_dossou), top_k=100, exclude_seen=False)
    assert items[0]["source"] == "historique"
    assert own.pk not in ids(items)


def test_dates_to_come_are_worth_those_of_today(trained, bank, api):
    students = UserFactory.create_batch(2, filiere=FiliereFactory(code="MATH"))
    for student, days in zip(students, (0, 365 * 70), strict=True):
        for epreuve in bank.epreuves["MATH"][:3]:
            date = timezone.now() + dt.timedelta(days=days)
            InteractionFactory(user=student, epreuve=epreuve, date=date)
    today, to_come = (answered(api(student), top_k=100) for student in students)
    assert today[0]["source"] == "historique"
    assert [(pk, one["score"]) for pk, one in by_the_model(today).items()] == [
        (pk, one["score"]) for pk, one in by_the_model(to_come).items()
    ]


def test_who_declined_personalisation_is_told_nothing_of_their_past(trained, bank, api):
    student = bank.students["MATH"][0]
    client = api(student)
    assert by_the_model(answered(client, expliquer=True))
    student.personnalisation = False
    items = answered(client, expliquer=True)
    assert not by_the_model(items)
    assert all(item["raisons"] == [] for item in items)


# --- What came after training -----------------------------------------------------------------


def test_a_new_epreuve_is_recommended_the_moment_it_is_published(trained, bank, api):
    client = api(bank.students["MATH"][0])
    answered(client)
    maths, physics = published(bank, "MATH"), published(bank, "PHYS")
    items = answered(client, top_k=100)
    new = {item["epreuve"]["id"]: item for item in items if item["source"] == "contenu"}
    assert set(new) == {maths.pk, physics.pk}
    assert new[maths.pk]["rang"] < new[physics.pk]["rang"]


def test_a_new_epreuve_has_its_like_the_moment_it_is_published(trained, bank, api, awa):
    fresh = published(bank, "MATH")
    response = api(awa).get(SIMILAR, {"epreuve_id": fresh.pk, "top_k": 5})
    assert response.data["source"] == "contenu"
    assert set(ids(response.data["recommendations"])) <= {one.pk for one in bank.epreuves["MATH"]}


def test_a_new_epreuve_is_hidden_seen_or_ones_own_like_any_other(trained, bank, api):
    student = bank.students["MATH"][0]
    client = api(student)
    hidden, met, own = (published(bank) for _ in range(3))
    EpreuveFactory(statut=Statut.SOUMISE)
    assert {hidden.pk, met.pk, own.pk} <= set(ids(answered(client, top_k=100)))
    moved(hidden, Action.ARCHIVER)
    Epreuve.objects.filter(pk=own.pk).update(depose_par=student)
    client.post(f"/api/epreuves/{met.pk}/view/")
    items = answered(client, top_k=100)
    assert not {hidden.pk, met.pk, own.pk} & set(ids(items))
    assert set(ids(items)) <= set(Epreuve.objects.published().values_list("pk", flat=True))
    both = ids(answered(client, top_k=100, exclude_seen=False))
    assert met.pk in both
    assert not {hidden.pk, own.pk} & set(both)


def test_filters_hold_for_new_epreuves_too(trained, bank, api):
    client = api(bank.students["MATH"][0])
    maths, physics = published(bank, "MATH"), published(bank, "PHYS")
    for seen_too in (True, False):
        items = answered(client, top_k=100, matiere="OPTIQUE", exclude_seen=seen_too)
        assert physics.pk in by_the_model(items)
        assert maths.pk not in ids(items)
        assert {item["epreuve"]["matiere"] for item in items} == {"OPTIQUE"}


def test_a_view_of_a_new_epreuve_alone_is_no_past_for_the_model(late, bank, api):
    seen(late, published(bank))
    assert api(late).get(URL).data["source"] == "profil"


# --- A model that is one network --------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["gmf", "mlp", "neumf"])
def test_a_plain_network_serves_by_row_and_without_reasons(bank, api, architecture):
    outcome = training.train(replace(CONFIG, architecture=architecture), version="plain")
    model = outcome.model
    type(model).objects.filter(pk=model.pk).update(est_actif=True)
    items = answered(api(bank.students["MATH"][0]), top_k=3, expliquer=True)
    assert {item["source"] for item in items} == {"ncf"}
    assert all(item["raisons"] == [] for item in items)
    late = UserFactory(filiere=FiliereFactory(code="MATH"))
    seen(late, bank.epreuves["MATH"][0])
    assert api(late).get(URL).data["source"] == "profil"


# --- Reasons ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["maybe", "2", "\0"])
def test_to_explain_is_yes_or_no(awa, api, value):
    response = api(awa).get(URL, {"expliquer": value})
    assert response.status_code == 400
    assert response.data["errors"][0]["attr"] == "expliquer"


def test_the_rank_without_a_reason_is_there_only_where_asked(trained, bank, api):
    client = api(bank.students["MATH"][0])
    for query in ({}, {"expliquer": False}, {"expliquer": True}, {}):
        reasons = [one for item in answered(client, **query) for one in item["raisons"]]
        assert reasons
        keys = {"epreuve", "titre", "texte", "contribution"}
        keys |= {"rang_sans"} if query.get("expliquer") else set()
        assert all(set(one) == keys for one in reasons)


def test_a_reason_names_the_most_telling_gesture(late, bank, api):
    first, second = bank.epreuves["MATH"][:2]
    seen(late, first)
    seen(late, first, type_interaction=TypeInteraction.TELECHARGEMENT)
    rate_epreuve(user=late, epreuve=second, note_difficulte=3, note_pertinence=3)
    items = answered(api(late), top_k=100)
    told = {one["epreuve"]: one["texte"] for item in items for one in item["raisons"]}
    assert told[first.pk] == f"parce que vous avez téléchargé « {first.titre} »"
    if second.pk in told:
        assert told[second.pk] == f"parce que vous avez évalué « {second.titre} »"


def test_an_epreuve_is_never_its_own_reason(trained, bank, api):
    items = answered(api(bank.students["MATH"][0]), top_k=100, exclude_seen=False)
    assert any(item["raisons"] for item in items)
    for item in items:
        assert item["epreuve"]["id"] not in {one["epreuve"] for one in item["raisons"]}


@dataclass(frozen=True)
class Campus:
    students: list[User]
    epreuves: list[Epreuve]


@pytest.fixture
def campus(db) -> Campus:
    """Sixty épreuves of four subjects, forty students of two filières and of mixed taste; a model
    of them, a late student, and two épreuves published since."""
    draw = random.Random(5)
    filieres = [FiliereFactory(code=code) for code in ("MATH", "PHYS")]
    subjects = [MatiereFactory(code=code) for code in ("ALG", "ANA", "OPT", "MECA")]
    epreuves = [
        EpreuveFactory(matiere=subjects[n % 4], filiere=filieres[n % 4 // 2], annee=2010 + n // 6)
        for n in range(60)
    ]
    students = [UserFactory(filiere=filieres[n % 2], niveau="L2") for n in range(41)]
    kinds = [TypeInteraction.VUE, TypeInteraction.VUE, TypeInteraction.TELECHARGEMENT]
    start = timezone.now() - dt.timedelta(days=90)
    for n, student in enumerate(students):
        weights = [8 if one.filiere == student.filiere else 1 for one in epreuves]
        # Of one's subject, more: taste within the filière.
        weights = [
            weight * (3 if one.matiere == subjects[n % 4] else 1)
            for weight, one in zip(weights, epreuves, strict=True)
        ]
        taken = list(dict.fromkeys(draw.choices(epreuves, weights, k=18)))
        for place, epreuve in enumerate(taken):
            date = start + dt.timedelta(days=80 * place / 18, minutes=n)
            InteractionFactory(
                user=student, epreuve=epreuve, date=date, type_interaction=draw.choice(kinds)
            )
            if draw.random() < 0.2:
                EvaluationFactory(
                    user=student, epreuve=epreuve, note_pertinence=draw.choice([3, 5])
                )
    late = students[-1]
    late_past = list(Interaction.objects.filter(user=late))
    Interaction.objects.filter(user=late).delete()
    outcome = training.train(CONFIG, version="v1")
    type(outcome.model).objects.filter(pk=outcome.model.pk).update(est_actif=True)
    model_store.reset()
    Interaction.objects.bulk_create(late_past)
    for subject, filiere in ((subjects[0], filieres[0]), (subjects[3], filieres[1])):
        fresh = EpreuveFactory(statut=Statut.SOUMISE, matiere=subject, filiere=filiere)
        moved(fresh, Action.PUBLIER)
    return Campus(students[::-1], epreuves)


def without(client, student: User, epreuve: int, query):
    """The answer had the student never touched it; then all is as before."""
    with transaction.atomic():
        Interaction.objects.filter(user=student, epreuve=epreuve).delete()
        Evaluation.objects.filter(user=student, epreuve=epreuve).delete()
        forget()
        items = by_the_model(answered(client, top_k=100, **query))
        transaction.set_rollback(True)
    forget()
    return items


def compare(campus, api, query, *, at_least: int) -> int:
    """Each reason of each recommendation against what is answered without it; how many there were.

    Students one after the other, the late one first, until there are enough.
    """
    compared = 0
    for student in campus.students:
        client = api(student)
        items = answered(client, top_k=100, expliquer=True, **query)
        answers = {}
        for item in items:
            contributions = [one["contribution"] for one in item["raisons"]]
            assert contributions == sorted(contributions, reverse=True)
            assert all(one > 0 for one in contributions)
            for reason in item["raisons"]:
                pk, gone = item["epreuve"]["id"], reason["epreuve"]
                if gone not in answers:
                    answers[gone] = without(client, student, gone, query)
                there = answers[gone].get(pk)
                assert reason["rang_sans"] == (there and there["rang"])
                if there:
                    lower = item["score"] - there["score"]
                    assert reason["contribution"] == pytest.approx(lower, abs=3e-6)
                compared += 1
        if compared >= at_least:
            break
    return compared


QUERIES = [
    {},
    {"exclude_seen": False},
    {"matiere": "ALG"},
    {"filiere": "MATH", "exclude_seen": False},
]


def test_reasons_are_true(campus, api):
    """Of who came after training, of who was there, and of the épreuves published since."""
    assert sum(compare(campus, api, query, at_least=30) for query in QUERIES) >= 100
    late = answered(api(campus.students[0]), top_k=100)
    assert {item["source"] for item in late} >= {"historique", "contenu"}


@pytest.mark.reliability
def test_a_thousand_reasons_are_true(campus, api):
    assert compare(campus, api, {}, at_least=1000) >= 1000


def test_reasons_are_true_of_ones_own_deposit(campus, api):
    """Never recommended: not having touched it would not bring it back."""
    student = campus.students[0]
    own = Interaction.objects.filter(user=student).first().epreuve_id
    Epreuve.objects.filter(pk=own).update(depose_par=student)
    assert compare(replace(campus, students=[student]), api, {}, at_least=1) >= 1
