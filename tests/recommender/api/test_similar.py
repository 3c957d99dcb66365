import pytest

from apps.core.models import Statut
from apps.core.review import Action
from tests.factories import EpreuveFactory, MatiereFactory, moved

pytestmark = pytest.mark.django_db

URL = "/api/recommendations/similar/"


def ids(response) -> list[int]:
    assert response.status_code == 200, response.content
    return [item["epreuve"]["id"] for item in response.data["recommendations"]]


def test_epreuves_of_the_same_students_are_similar(trained, bank, api, awa):
    asked, *others = (epreuve.pk for epreuve in bank.epreuves["MATH"])
    response = api(awa).get(URL, {"epreuve_id": asked, "top_k": 9})
    assert set(ids(response)) == set(others)
    assert response.data["source"] == "ncf"


def test_an_epreuve_the_model_never_met_is_compared_by_its_text(trained, bank, api, awa):
    twin = EpreuveFactory(titre="Champs électriques", matiere=MatiereFactory(code="ELEC"))
    fresh = EpreuveFactory(titre="Champs  electriques II", matiere=MatiereFactory(code="ELEC"))
    response = api(awa).get(URL, {"epreuve_id": fresh.pk})
    assert ids(response)[0] == twin.pk
    assert response.data["source"] == "contenu"


def test_texts_answer_without_any_model(db, api, awa):
    first, second = (EpreuveFactory(titre=f"Intégrales {n}") for n in ("simples", "multiples"))
    response = api(awa).get(URL, {"epreuve_id": first.pk})
    assert (ids(response), response.data["version_modele"]) == ([second.pk], None)


def test_the_epreuve_itself_and_hidden_ones_are_never_there(trained, bank, api, awa):
    asked, hidden = bank.epreuves["MATH"][:2]
    hidden.statut = Statut.ARCHIVEE
    hidden.save()
    for _ in range(2):
        got = ids(api(awa).get(URL, {"epreuve_id": asked.pk, "top_k": 100}))
        assert asked.pk not in got
        assert hidden.pk not in got
        assert len(got) == len(set(got)) == 18


def test_a_bank_of_one_has_nothing_similar(api, awa):
    assert ids(api(awa).get(URL, {"epreuve_id": EpreuveFactory().pk})) == []


def test_what_one_may_not_see_is_a_404(api, awa, mme_dossou):
    draft = EpreuveFactory(statut=Statut.BROUILLON, depose_par=mme_dossou)
    EpreuveFactory()
    assert api(awa).get(URL, {"epreuve_id": draft.pk}).status_code == 404
    assert api(mme_dossou).get(URL, {"epreuve_id": draft.pk}).status_code == 200
    assert api(awa).get(URL, {"epreuve_id": 999_999}).status_code == 404


@pytest.mark.parametrize("value", [None, "", "abc", "1e400", "-1", str(2**70)])
def test_epreuve_id_is_required_and_an_integer(api, awa, value):
    query = {} if value is None else {"epreuve_id": value}
    response = api(awa).get(URL, query)
    assert response.status_code == 400
    assert response.data["errors"][0]["attr"] == "epreuve_id"


def test_what_has_nothing_in_common_is_not_similar(api, awa):
    asked = EpreuveFactory(
        titre="Optique",
        matiere=MatiereFactory(code="O", nom="Ondes"),
        annee=None,
        filiere=None,
        niveau="M1",
    )
    EpreuveFactory(
        titre="Algèbre",
        matiere=MatiereFactory(code="A", nom="Anneaux"),
        niveau="L1",
        type_epreuve="td",
    )
    assert ids(api(awa).get(URL, {"epreuve_id": asked.pk})) == []


def test_one_that_the_model_never_met_is_found_beside_those_it_knows(trained, bank, api, awa):
    known = bank.epreuves["MATH"][0]
    double = EpreuveFactory(
        titre=known.titre + " bis",
        statut=Statut.SOUMISE,
        filiere=known.filiere,
        matiere=known.matiere,
    )
    moved(double, Action.PUBLIER)
    items = api(awa).get(URL, {"epreuve_id": known.pk, "top_k": 10}).data["recommendations"]
    sources = {item["epreuve"]["id"]: item["source"] for item in items}
    assert sources[double.pk] == "contenu"
    assert "ncf" in sources.values()


def test_the_same_epreuves_are_a_304_and_have_only_the_fields_asked_for(trained, bank, api, awa):
    client, asked = api(awa), {"epreuve_id": bank.epreuves["MATH"][0].pk, "champs": "id"}
    first = client.get(URL, asked)
    assert {tuple(item["epreuve"]) for item in first.data["recommendations"]} == {("id",)}
    known = client.get(URL, asked, headers={"If-None-Match": first["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
