import pytest

from tests.factories import InteractionFactory

pytestmark = pytest.mark.django_db

PAGE = "/admin/recommender/modelmetadata/derive/"


def read(client, **asked) -> str:
    return " ".join(client.get(PAGE, asked).content.decode().split())


def test_an_empty_bank_has_a_page_too(client, rachidi):
    client.force_login(rachidi)
    page = read(client)
    assert "trop peu d&#x27;interactions pour le dire" in page
    assert "aucun modèle ne servant" in page
    assert "Rien à mesurer" in read(client, mesurer=1)


def test_each_picture_has_its_numbers(trained, bank, client, rachidi):
    client.force_login(rachidi)
    InteractionFactory(user=bank.students["MATH"][0], contexte="recherche")
    page = read(client)
    assert page.count("<figure") == page.count("Les mêmes chiffres en tableau") == 6
    assert "Recherche" in page
    assert "Gini" not in page
    # It says so while it works, and comes back to what it found.
    assert '<form action="#couverture" data-occupe="Mesure en cours…">' in page
    assert 'id="couverture"' in page
    page = read(client, mesurer=1)
    assert page.count("<figure") == 8
    assert "indice de Gini" in page
    assert "indice de Gini" in read(client), "measured once, it is shown again"


def test_a_teacher_does_not_see_it(client, mme_dossou):
    client.force_login(mme_dossou)
    assert client.get(PAGE).status_code == 302
