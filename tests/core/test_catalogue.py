import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.models import Session, Statut, TypeEpreuve, TypeInteraction
from apps.core.serializers import EpreuveSerializer
from apps.core.services.evaluations import rate_epreuve
from tests.factories import (
    EpreuveFactory,
    EvaluationFactory,
    FiliereFactory,
    MatiereFactory,
    seen,
    with_file,
)

pytestmark = pytest.mark.django_db


def titles(client, path="/api/epreuves/", **params):
    answer = client.get(path, params)
    assert answer.status_code == 200, answer.content.decode()
    return [row["titre"] for row in answer.json()["results"]]


def refused(client, path="/api/epreuves/", **params):
    answer = client.get(path, params)
    assert answer.status_code == 400, answer.content.decode()
    return {error["attr"]: error["detail"] for error in answer.json()["errors"]}


# --- The list ----------------------------------------------------------------------------


def test_a_card_says_what_the_request_asked_for(anyone, mme_dossou):
    epreuve = with_file(EpreuveFactory(titre="Analyse 2", enseignant=mme_dossou))
    EvaluationFactory(epreuve=epreuve)
    rate_epreuve(user=mme_dossou, epreuve=epreuve, note_difficulte=2, note_pertinence=5)
    answer = anyone.get("/api/epreuves/").json()
    (card,) = answer.pop("results")
    assert answer == {"count": 1, "next": None, "previous": None}
    assert card == {
        "id": epreuve.pk,
        "titre": "Analyse 2",
        "matiere": "ANALYSE",
        "filiere": "MATH",
        "niveau": "L2",
        "type_epreuve": "examen",
        "session": "normale",
        "annee": 2024,
        "corrige_disponible": False,
        "taille_octets": epreuve.taille_octets,
        "nb_pages": 1,
        "nb_vues": 0,
        "nb_telechargements": 0,
        "note_difficulte": 2.5,
        "note_pertinence": 4.5,
    }
    more = ",".join(EpreuveSerializer.Meta.on_request)
    (card,) = anyone.get("/api/epreuves/", {"champs": more}).json()["results"]
    assert card == {
        "matiere_nom": "Matière ANALYSE",
        "filiere_nom": "Filière MATH",
        "semestre": None,
        "annee_academique": "2023-2024",
        "enseignant": {"id": mme_dossou.pk, "nom": "Reine Dossou"},
        "nb_evaluations": 2,
        "note_difficulte_moyenne": 2.5,
        "note_pertinence_moyenne": 4.5,
        "statut": "publiee",
        "date_publication": epreuve.date_publication.astimezone(dt.UTC)
        .isoformat()
        .replace("+00:00", "Z"),
    }


def test_a_teacher_without_account_is_named(anyone):
    EpreuveFactory(enseignant_nom="M. Houngbédji")
    (card,) = anyone.get("/api/epreuves/?champs=enseignant").json()["results"]
    assert card["enseignant"] == {"id": None, "nom": "M. Houngbédji"}


@pytest.mark.parametrize("path", ["", "populaires/", "recentes/"])
def test_a_list_takes_as_many_queries_for_ten_rows_as_for_two(
    api, awa, koffi, mme_dossou, django_assert_num_queries, path
):
    def rows(count):
        for _ in range(count):
            epreuve = EpreuveFactory(apart=True, depose_par=mme_dossou)
            seen(koffi, epreuve)

    rows(2)
    with CaptureQueriesContext(connection) as few:
        assert len(titles(api(awa), f"/api/epreuves/{path}")) == 2
    rows(8)
    with django_assert_num_queries(len(few)):
        assert len(titles(api(awa), f"/api/epreuves/{path}")) == 10


def test_a_list_takes_at_most_three_queries(api, awa, django_assert_max_num_queries):
    EpreuveFactory.create_batch(3)
    with django_assert_max_num_queries(3):
        titles(api(awa))


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("matiere", "ALGEBRE"),
        ("filiere", "INFO"),
        ("niveau", "M1"),
        ("type_epreuve", "concours"),
        ("session", "rattrapage"),
        ("annee", 2019),
        ("annee_max", 2019),
        ("search", "euclide"),
        ("corrige", "true"),
    ],
)
def test_each_filter_keeps_what_it_names(anyone, param, value):
    EpreuveFactory(titre="autre")
    EpreuveFactory(
        titre="Division d'Euclide",
        matiere=MatiereFactory(code="ALGEBRE"),
        filiere=FiliereFactory(code="INFO"),
        niveau="M1",
        type_epreuve=TypeEpreuve.CONCOURS,
        session=Session.RATTRAPAGE,
        annee=2019,
        fichier_corrige="epreuves/x.pdf",
    )
    assert titles(anyone, **{param: value}) == ["Division d'Euclide"]


def test_filters_narrow_together(anyone, mme_dossou):
    EpreuveFactory(titre="a", annee=2020, enseignant=mme_dossou)
    EpreuveFactory(titre="b", annee=2021, enseignant=mme_dossou)
    EpreuveFactory(titre="c", annee=2021)
    asked = {"annee_min": 2021, "annee_max": 2022, "enseignant": mme_dossou.pk, "corrige": "0"}
    assert titles(anyone, **asked) == ["b"]


@pytest.mark.parametrize(
    "search", ["equations", "ÉQUATIONS", "differentielles équations", "coeur", "cœur", "CŒUR"]
)
def test_search_disregards_accents_case_order_and_ligatures(anyone, search):
    EpreuveFactory(titre="Équations différentielles au cœur de l'analyse")
    EpreuveFactory(titre="Algèbre")
    assert len(titles(anyone, search=search)) == 1


@pytest.mark.parametrize("search", ["%", "_", "\\", "'", '"', "(", "equations introuvable"])
def test_search_takes_signs_as_they_are(anyone, search):
    EpreuveFactory(titre="Equations", matiere=MatiereFactory(nom="Analyse"))
    assert titles(anyone, search=search) == []


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        ("titre", ["a", "b", "c"]),
        ("-titre", ["c", "b", "a"]),
        ("annee", ["c", "b", "a"]),
        ("-annee", ["b", "c", "a"]),
        ("-nb_vues", ["c", "b", "a"]),
        ("nb_telechargements", ["a", "b", "c"]),
        ("-date_publication", ["c", "b", "a"]),
    ],
)
def test_orderings_break_ties_by_id_and_put_the_missing_last(anyone, ordering, expected):
    now = timezone.now()
    EpreuveFactory(titre="a", annee=None, date_publication=now)
    EpreuveFactory(titre="b", annee=2021, date_publication=now)
    EpreuveFactory(titre="c", annee=2020, date_publication=now, nb_vues=5)
    assert titles(anyone, ordering=ordering) == expected


def test_pages_hold_every_epreuve_once(anyone):
    expected = {epreuve.titre for epreuve in EpreuveFactory.create_batch(7, nb_vues=1)}
    pages = [titles(anyone, ordering="-nb_vues", page_size=3, page=n) for n in (1, 2, 3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert {titre for page in pages for titre in page} == expected


def test_a_page_past_the_last_is_404(anyone):
    assert anyone.get("/api/epreuves/?page=2").status_code == 404


@pytest.mark.parametrize(
    ("params", "attr", "names"),
    [
        ({"niveau": "L9"}, "niveau", "PREPA, L1, L2"),
        ({"niveau": ""}, "niveau", "PREPA, L1, L2"),
        ({"type_epreuve": "quiz"}, "type_epreuve", "examen, partiel"),
        ({"session": "x"}, "session", "normale, rattrapage, unique"),
        ({"matiere": "CHIMIE"}, "matiere", "ALGEBRE, ANALYSE"),
        ({"filiere": "X"}, "filiere", "MATH"),
        ({"filiere": "MATH\0"}, "filiere", "MATH"),
        ({"ordering": "password"}, "ordering", "-nb_vues"),
        ({"page_size": 101}, "page_size", "100"),
        ({"page_size": 0}, "page_size", "1"),
        ({"page": "deux"}, "page", "entier"),
        ({"page": "9" * 400}, "page", ""),
        ({"annee": "1e400"}, "annee", "entier"),
        ({"annee": 3000}, "annee", "2100"),
        ({"annee_min": 2022, "annee_max": 2020}, "annee_min", "annee_max"),
        ({"enseignant": "-1"}, "enseignant", "entier"),
        ({"enseignant": "9" * 18}, "enseignant", "identifiant"),
        ({"corrige": "peut-être"}, "corrige", ""),
        ({"search": "x\0y"}, "search", ""),
        ({"search": "x" * 101}, "search", "100"),
        ({"user_id": 3}, "user_id", "search, matiere, filiere"),
        ({"niveau": ["L1", "L2"]}, "niveau", "répété"),
        ({"format": "json"}, "format", "inconnu"),
    ],
)
def test_a_bad_parameter_is_refused_and_says_what_is_allowed(anyone, params, attr, names):
    EpreuveFactory()
    MatiereFactory(code="ALGEBRE")
    errors = refused(anyone, **params)
    assert list(errors) == [attr]
    assert names in errors[attr]


# --- Populaires, récentes ----------------------------------------------------------------


def test_the_popular_come_by_weight_then_by_id(anyone, awa, koffi):
    epreuves = [EpreuveFactory(titre=titre) for titre in "abcd"]
    a, b, c, _ = epreuves
    seen(awa, b, c)
    seen(koffi, a, type_interaction=TypeInteraction.TELECHARGEMENT)
    assert titles(anyone, "/api/epreuves/populaires/") == ["a", "b", "c"]


def test_the_recent_come_by_date_of_publication(anyone):
    now = timezone.now()
    for titre, days in (("vieille", 3), ("neuve", 0), ("entre", 1)):
        EpreuveFactory(titre=titre, date_publication=now - dt.timedelta(days=days))
    assert titles(anyone, "/api/epreuves/recentes/", limite=2) == ["neuve", "entre"]


@pytest.mark.parametrize("path", ["/api/epreuves/populaires/", "/api/epreuves/recentes/"])
def test_the_tops_take_filters_and_leave_out_what_i_have_seen(api, anyone, awa, koffi, path):
    seen(koffi, *(EpreuveFactory(titre=t, annee=y) for t, y in (("a", 2020), ("b", 2021))))
    mine = EpreuveFactory(titre="vue", annee=2021)
    seen(awa, mine)
    assert titles(api(awa), path, annee=2021, exclude_seen="true") == ["b"]
    assert set(titles(api(awa), path, annee=2021)) == {"b", "vue"}
    assert set(titles(anyone, path, exclude_seen="true")) == {"a", "b", "vue"}


@pytest.mark.parametrize("path", ["/api/epreuves/populaires/", "/api/epreuves/recentes/"])
def test_the_tops_hold_only_what_is_published(api, rachidi, awa, path):
    for statut in Statut:
        seen(awa, EpreuveFactory(titre=statut, statut=statut, depose_par=rachidi))
    assert titles(api(rachidi), path) == ["publiee"]


@pytest.mark.parametrize("path", ["/api/epreuves/populaires/", "/api/epreuves/recentes/"])
@pytest.mark.parametrize("params", [{"limite": 0}, {"limite": 51}, {"limite": "x"}, {"page": 1}])
def test_a_bad_limite_is_refused(anyone, path, params):
    assert list(refused(anyone, path, **params)) == list(params)


def test_the_popular_are_ten_unless_asked(anyone, awa):
    seen(awa, *EpreuveFactory.create_batch(12))
    assert len(titles(anyone, "/api/epreuves/populaires/")) == 10
    assert len(titles(anyone, "/api/epreuves/populaires/", limite=12)) == 12


# --- Who sees what -----------------------------------------------------------------------

OWN = {Statut.BROUILLON, Statut.SOUMISE, Statut.REJETEE}
VISIBLE = {
    "anonymous": {Statut.PUBLIEE},
    "awa": {Statut.PUBLIEE},
    "m_zinsou": {Statut.PUBLIEE},
    "mme_dossou": {Statut.PUBLIEE} | OWN,
    "rachidi": set(Statut),
}


@pytest.mark.parametrize("who", VISIBLE)
def test_an_epreuve_is_listed_opened_and_fetched_by_those_who_may_see_it(
    api, mme_dossou, request, who
):
    client = api(None if who == "anonymous" else request.getfixturevalue(who))
    epreuves = {
        statut: with_file(EpreuveFactory(titre=statut, statut=statut, depose_par=mme_dossou))
        for statut in Statut
    }
    assert set(titles(client)) == VISIBLE[who]
    for statut, epreuve in epreuves.items():
        expected = 200 if statut in VISIBLE[who] else 404
        assert client.get(f"/api/epreuves/{epreuve.pk}/").status_code == expected
        if who != "anonymous":
            download = client.post(f"/api/epreuves/{epreuve.pk}/download/")
            assert download.status_code == expected


@pytest.mark.parametrize("path", ["", "populaires/", "recentes/", "{pk}/"])
def test_a_catalogue_that_is_not_public_asks_for_a_token(api, anyone, awa, settings, path):
    url = "/api/epreuves/" + path.format(pk=EpreuveFactory().pk)
    assert anyone.get(url).status_code == 200
    settings.CATALOGUE_PUBLIC = False
    assert anyone.get(url).status_code == 401
    assert api(awa).get(url).status_code == 200


def test_the_detail_adds_notes_author_and_whether_i_saw_it(api, anyone, awa, koffi, mme_dossou):
    epreuve = EpreuveFactory(description="Deux heures.", depose_par=mme_dossou)
    rate_epreuve(user=awa, epreuve=epreuve, note_difficulte=4, note_pertinence=5)
    rate_epreuve(user=koffi, epreuve=epreuve, note_difficulte=4, note_pertinence=2)
    detail = api(awa).get(f"/api/epreuves/{epreuve.pk}/").json()
    assert detail["description"] == "Deux heures."
    assert detail["auteur"] == {"id": mme_dossou.pk, "nom": "Reine Dossou"}
    assert (detail["nb_evaluations"], detail["note_pertinence_moyenne"]) == (2, 3.5)
    assert detail["repartition_notes"] == {
        "difficulte": {"1": 0, "2": 0, "3": 0, "4": 2, "5": 0},
        "pertinence": {"1": 0, "2": 1, "3": 0, "4": 0, "5": 1},
    }
    assert detail["deja_vue"] is True
    assert "deja_vue" not in anyone.get(f"/api/epreuves/{epreuve.pk}/").json()
