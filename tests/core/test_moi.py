import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.models import Epreuve, Mot, Statut, TypeInteraction, User
from apps.core.services.epreuves import refresh_search_text
from tests.factories import EpreuveFactory, FiliereFactory, MatiereFactory, UserFactory, seen

pytestmark = pytest.mark.django_db
URL = "/api/moi/"


# --- The profile -------------------------------------------------------------------------


def test_i_change_what_is_mine_to_say(api, awa):
    FiliereFactory(code="PHYS")
    body = {
        "prenom": "Awa Nadège",
        "nom": "Kpodji",
        "filiere": "PHYS",
        "niveau": "L3",
        "personnalisation": False,
    }
    answer = api(awa).patch(URL, body)
    assert answer.status_code == 200
    shown = answer.json()
    assert {name: shown[name] for name in body} | {"filiere": "PHYS"} == body
    assert shown["filiere"]["code"] == "PHYS"
    assert api(User.objects.get(pk=awa.pk)).get(URL).json() == answer.json()


def test_what_is_not_given_stays_and_what_may_be_empty_is_emptied(api, awa):
    api(awa).patch(URL, {"niveau": "M1"})
    after = User.objects.get(pk=awa.pk)
    assert (after.niveau, after.first_name, after.filiere) == ("M1", "Awa", awa.filiere)
    api(awa).patch(URL, {"niveau": "", "prenom": "", "filiere": None})
    after.refresh_from_db()
    assert (after.niveau, after.first_name, after.filiere) == ("", "", None)


@pytest.mark.parametrize("method", ["patch", "put"])
def test_every_other_field_is_out_of_reach(api, awa, method):
    mine = {"first_name", "last_name", "filiere", "niveau", "personnalisation"}
    values = dict.fromkeys((f.attname for f in User._meta.concrete_fields), 1)
    wanted = {name: value for name, value in values.items() if name.removesuffix("_id") not in mine}
    wanted |= {"email": "autre@imsp.test", "role": "administrateur", "is_staff": True}
    before = User.objects.values().get(pk=awa.pk)
    getattr(api(awa), method)(URL, wanted)
    assert User.objects.values().get(pk=awa.pk) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("niveau", "L9"),
        ("filiere", "XXX"),
        ("filiere", 7),
        ("prenom", "x" * 151),
        ("prenom", "\u200b"),
        ("nom", "a\0b"),
        ("nom", None),
        ("personnalisation", "peut-être"),
    ],
)
def test_a_bad_value_is_refused_beside_its_field(api, awa, name, value):
    answer = api(awa).patch(URL, {name: value})
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, name)


def test_a_renamed_teacher_s_epreuves_are_found_by_the_new_name(api, mme_dossou):
    epreuve = EpreuveFactory(enseignant=mme_dossou)
    api(mme_dossou).patch(URL, {"nom": "Ahô"})
    assert Epreuve.objects.matching("aho").get() == epreuve


def test_a_former_name_is_known_to_the_search_no_more_unless_a_record_says_it(api, mme_dossou):
    EpreuveFactory(titre="Les suites de Reine")
    EpreuveFactory(enseignant=mme_dossou)
    refresh_search_text(Epreuve.objects.all())
    assert Mot.objects.filter(texte__in=["reine", "dossou"]).count() == 2
    api(mme_dossou).patch(URL, {"prenom": "Ayaba", "nom": "Houngbo"})
    found = Mot.objects.filter(texte__in=["reine", "dossou", "ayaba", "houngbo"])
    assert {mot.texte for mot in found} == {"reine", "ayaba", "houngbo"}


# --- The history -------------------------------------------------------------------------


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
        for n in range(count):
            epreuve = EpreuveFactory(
                matiere=MatiereFactory(code=f"M{count}-{n}"),
                filiere=FiliereFactory(code=f"F{count}-{n}"),
                enseignant=UserFactory(role="enseignant"),
            )
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
