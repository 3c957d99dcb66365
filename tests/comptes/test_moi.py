import pytest

from apps.core.models import Epreuve, Mot, User
from apps.core.services.epreuves import refresh_search_text
from tests.factories import EpreuveFactory, FiliereFactory

pytestmark = pytest.mark.django_db
URL = "/api/moi/"


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
