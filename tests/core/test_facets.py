"""What the facets count, beside counts of our own."""

import datetime as dt
import random
from collections import Counter

import pytest
from django.utils import timezone

from apps.core.models import Epreuve, Niveau, Session, Statut, TypeEpreuve
from tests.core.test_catalogue import refused, titles
from tests.factories import EpreuveFactory, FiliereFactory, MatiereFactory

pytestmark = pytest.mark.django_db

PATH = "/api/epreuves/facettes/"
FILTERS = [
    {},
    {"search": "suites"},
    {"search": "siutes"},
    {"search": "introuvable"},
    {"search": "%"},
    {"matiere": "M1"},
    {"filiere": "F0", "niveau": "L1"},
    {"annee_min": 2021, "annee_max": 2022},
    {"annee": 2021, "session": "normale", "search": "series"},
    {"corrige": "true"},
    {"corrige": "false", "type_epreuve": "td"},
]


def facets(client, **params):
    answer = client.get(PATH, params)
    assert answer.status_code == 200, answer.content.decode()
    return answer.json()


def counts(client, **params):
    return {
        name: {value["valeur"]: value["nombre"] for value in values}
        for name, values in facets(client, **params).items()
    }


def day_of(n: int) -> dt.datetime:
    return timezone.now() + dt.timedelta(days=n)


@pytest.fixture
def bank(mme_dossou, m_zinsou):
    rng = random.Random(7)
    matieres = [MatiereFactory(code=f"M{n}") for n in range(3)]
    filieres = [FiliereFactory(code=f"F{n}") for n in range(2)]
    for n in range(60):
        EpreuveFactory(
            titre=f"{rng.choice(['Suites', 'Séries', 'Anneaux'])} {n}",
            matiere=rng.choice(matieres),
            filiere=rng.choice([*filieres, None]),
            niveau=rng.choice(["L1", "L2", "M1"]),
            type_epreuve=rng.choice(["examen", "td"]),
            session=rng.choice(["normale", "rattrapage"]),
            annee=rng.choice([None, 2020, 2021, 2022]),
            fichier_corrige=rng.choice(["", "x.pdf"]),
            corrige_visible_le=rng.choice([None, day_of(-1), day_of(1)]),
            statut=rng.choice([Statut.PUBLIEE, Statut.PUBLIEE, *Statut]),
            depose_par=rng.choice([mme_dossou, m_zinsou, None]),
        )


def in_the_list(client, **params):
    """The épreuves of every page of the list, counted one by one."""
    answer = client.get("/api/epreuves/", params | {"page_size": 7}).json()
    shown = answer["results"]
    while answer["next"]:
        answer = client.get(answer["next"]).json()
        shown += answer["results"]
    found = {name: Counter() for name in counts(client)}
    found["corrige"] = Counter(row["corrige_disponible"] for row in shown)
    for row in Epreuve.objects.filter(pk__in=[row["id"] for row in shown]):
        found["matiere"][row.matiere.code] += 1
        found["filiere"][row.filiere.code if row.filiere else None] += 1
        found["annee"][row.annee] += 1
        for name in ("niveau", "type_epreuve", "session"):
            found[name][getattr(row, name)] += 1
    return {name: {k: n for k, n in one.items() if k is not None} for name, one in found.items()}


@pytest.mark.parametrize("params", FILTERS)
@pytest.mark.parametrize("who", ["anonyme", "awa", "mme_dossou", "rachidi"])
def test_facets_count_what_the_list_holds_for_everybody(bank, api, request, who, params):
    client = api(None if who == "anonyme" else request.getfixturevalue(who))
    assert counts(client, **params) == in_the_list(client, **params)


def test_every_value_of_a_facet_keeps_as_many_as_it_says(bank, anyone):
    for name, values in counts(anyone, search="suites").items():
        for value, number in values.items():
            kept = anyone.get("/api/epreuves/", {"search": "suites", name: value}).json()
            assert kept["count"] == number, (name, value)


def test_hidden_epreuves_are_counted_for_those_who_see_them_only(anyone, api, rachidi, mme_dossou):
    for statut in Statut:
        EpreuveFactory(statut=statut, depose_par=mme_dossou)
    for client, number in ((anyone, 1), (api(mme_dossou), 4), (api(rachidi), 5)):
        assert counts(client)["niveau"] == {"L2": number}


def test_a_facet_says_what_people_read_the_most_numerous_first(anyone):
    EpreuveFactory(titre="a", niveau=Niveau.M1, annee=2021, session=Session.NORMALE)
    EpreuveFactory(titre="b", niveau=Niveau.M1, annee=None, filiere=None)
    EpreuveFactory(titre="c", type_epreuve=TypeEpreuve.TD, fichier_corrige="x.pdf", annee=2022)
    assert facets(anyone) == {
        "matiere": [{"valeur": "ANALYSE", "libelle": "Matière ANALYSE", "nombre": 3}],
        "filiere": [{"valeur": "MATH", "libelle": "Filière MATH", "nombre": 2}],
        "niveau": [
            {"valeur": "M1", "libelle": "Master 1", "nombre": 2},
            {"valeur": "L2", "libelle": "Licence 2", "nombre": 1},
        ],
        "type_epreuve": [
            {"valeur": "examen", "libelle": "Examen", "nombre": 2},
            {"valeur": "td", "libelle": "Travaux dirigés", "nombre": 1},
        ],
        "session": [{"valeur": "normale", "libelle": "Normale", "nombre": 3}],
        "annee": [
            {"valeur": 2021, "libelle": "2021", "nombre": 1},
            {"valeur": 2022, "libelle": "2022", "nombre": 1},
        ],
        "corrige": [
            {"valeur": False, "libelle": "Sans corrigé", "nombre": 2},
            {"valeur": True, "libelle": "Avec corrigé", "nombre": 1},
        ],
    }


def test_nothing_found_leaves_every_facet_empty(anyone):
    assert set(map(len, facets(anyone).values())) == {0}


@pytest.mark.parametrize("size", [1, 30])
def test_facets_take_three_queries_whatever_they_count(anyone, django_assert_num_queries, size):
    for n in range(size):
        EpreuveFactory(matiere=MatiereFactory(code=f"M{n}"), filiere=FiliereFactory(code=f"F{n}"))
    with django_assert_num_queries(3):
        assert len(facets(anyone)["matiere"]) == size


def test_facets_refuse_what_is_no_filter(anyone):
    for params in ({"page": 1}, {"ordering": "annee"}, {"niveau": "L9"}):
        assert list(refused(anyone, PATH, **params)) == list(params)


def test_a_search_finds_as_many_as_its_facets_count(bank, anyone):
    found = titles(anyone, search="suites", page_size=100)
    assert sum(counts(anyone, search="suites")["session"].values()) == len(found) > 0
