import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.models import Epreuve, Mot, Statut, TexteEpreuve
from apps.core.search import TOLERANCE_MIN, misspelt
from apps.core.services.epreuves import edit_epreuve
from apps.core.text import words
from tests.core.test_catalogue import titles
from tests.factories import EpreuveFactory, MatiereFactory, with_file

pytestmark = pytest.mark.django_db

EQUATIONS = "Équations différentielles"


def reads(epreuve, text):
    """As if its PDF had said so."""
    TexteEpreuve.objects.filter(pk=epreuve.pk).update(sujet=words(text))


# --- Words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Équations  DIFFÉRENTIELLES", ["equations", "differentielles"]),
        ("L’œuvre d'Euler, l'ﬁn", ["oeuvre", "euler", "fin"]),
        ("aujourd'hui qu’on", ["aujourd", "hui", "on"]),
        ("C++, C# et C.", ["c++", "c#", "et", "c"]),
        ("m² : x_1 (% ' \\ \" & | ! :*)", ["m2", "x", "1"]),
        ("deux deux", ["deux"]),
        ("a" * 50, ["a" * 40]),
        ("\ud800 \0", []),
    ],
)
def test_a_text_is_found_by_its_words(text, found):
    assert words(text) == found


def test_words_come_back_as_they_were_written():
    epreuve = EpreuveFactory(titre="Le C++ et l'équation")
    assert set(TexteEpreuve.objects.get(pk=epreuve.pk).titre) == {"le", "c++", "et", "equation"}


# --- What is found -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "search",
    [
        "equations differentielles",
        "ÉQUATIONS",
        "différentielles équations",
        "equation diff",
        "d'équations",
        "d’equations",
        "(équations)",
        "  equations  ",
    ],
)
def test_a_search_disregards_accents_case_order_and_apostrophes(anyone, search):
    EpreuveFactory(titre=EQUATIONS)
    EpreuveFactory(titre="Algèbre")
    assert titles(anyone, search=search) == [EQUATIONS]


def test_the_longest_search_of_one_letter_words_is_answered(anyone):
    EpreuveFactory(titre=EQUATIONS)
    assert (
        titles(anyone, search=" ".join("abcdefghijklmnopqrstuvwxyz0123456789éèùàç+#ßøđłŧħı")) == []
    )


def test_all_words_must_be_found_wherever_they_stand(anyone):
    epreuve = EpreuveFactory(
        titre=EQUATIONS, description="Sur Euler", matiere=MatiereFactory(nom="Calcul")
    )
    reads(epreuve, "le théorème de Cauchy")
    assert titles(anyone, search="cauchy euler calcul equations 2024") == [EQUATIONS]
    assert titles(anyone, search="cauchy euler calcul equations lipschitz") == []


def test_a_word_is_found_by_its_beginning_a_short_one_whole(anyone):
    EpreuveFactory(titre="Tri de données en C++")
    for search in ("donn", "tri", "en", "C++", "c++ tri"):
        assert len(titles(anyone, search=search)) == 1, search
    for search in ("nnees", "do", "c", "c#", "t"):
        assert titles(anyone, search=search) == [], search


@pytest.mark.parametrize("search", ["%", "_", "\\", "'", '"', "(", "& | !", ":*"])
def test_a_search_without_a_word_finds_nothing(anyone, search):
    EpreuveFactory(titre="100 % pratique : l'art_du \\ (test) & | ! :*")
    assert titles(anyone, search=search) == []


@pytest.mark.parametrize("search", ["", "   "])
def test_an_empty_search_is_no_search(anyone, search):
    EpreuveFactory(titre=EQUATIONS)
    assert titles(anyone, search=search) == [EQUATIONS]


# --- One wrong letter --------------------------------------------------------------------


def one_letter_wrong(word):
    """Every replacement, omission, doubling and swap."""
    for at in range(len(word)):
        yield word[:at] + "z" + word[at + 1 :]
        yield word[:at] + word[at + 1 :]
        yield word[: at + 1] + word[at:]
        yield word[:at] + word[at : at + 2][::-1] + word[at + 2 :]


@pytest.mark.parametrize("word", ["equations", "differentielles", "suites"])
def test_any_one_wrong_letter_still_finds_it(word):
    epreuve = EpreuveFactory(titre="Suites d'équations différentielles")
    for wrong in one_letter_wrong(word):
        assert Epreuve.objects.matching(f"{wrong} suites").get() == epreuve, wrong


def test_the_beginning_of_a_word_may_have_its_wrong_letter_too(anyone):
    EpreuveFactory(titre=EQUATIONS)
    assert titles(anyone, search="equatoin diferentiel") == [EQUATIONS]


@pytest.mark.parametrize(
    "search", ["eqzztions", "equatons diffzzentielles", "2023", "tose", "tres"]
)
def test_two_wrong_letters_a_number_or_a_short_word_are_not_guessed(anyone, search):
    EpreuveFactory(titre="Équations différentielles : test", annee=2024)
    assert titles(anyone, search=search) == []


def test_what_is_spelt_as_asked_comes_before_what_may_be_meant(anyone):
    EpreuveFactory(titre="Modules", date_publication=timezone.now())
    EpreuveFactory(titre="Modèles")
    EpreuveFactory(titre="Autre", description="modèle")
    assert titles(anyone, search="modele") == ["Modèles", "Autre", "Modules"]


def test_a_short_search_is_the_beginning_of_a_longer_word_only_where_it_is_spelt():
    assert misspelt("suite", "suites") is None
    assert misspelt("siute", "suites") == "suite"
    assert misspelt("suitte", "suite") == "suite"
    assert misspelt("suxxe", "suite") is None
    assert misspelt("", "suite") is None
    assert TOLERANCE_MIN == 5


# --- Order -------------------------------------------------------------------------------


def test_the_title_comes_first_then_the_record_then_the_pdf(anyone):
    for titre, description, pdf in (
        ("Dans le PDF", "", "théorème de Cauchy"),
        ("Dans la fiche", "Théorème de Cauchy", ""),
        ("Théorème de Cauchy", "", ""),
        ("Théorème", "de Cauchy", ""),
        ("Absente", "", ""),
    ):
        reads(EpreuveFactory(titre=titre, description=description), pdf)
    found = titles(anyone, search="cauchy theoreme")
    assert found[0] == "Théorème de Cauchy"
    assert set(found[1:3]) == {"Dans la fiche", "Théorème"}
    assert found[3:] == ["Dans le PDF"]


def test_equals_come_by_date_of_publication_then_by_id_on_every_page(anyone):
    now = timezone.now()
    old = EpreuveFactory(titre="Suites 0", date_publication=now - timezone.timedelta(days=1))
    same = [EpreuveFactory(titre=f"Suites {n}", date_publication=now) for n in range(1, 6)]
    expected = [epreuve.titre for epreuve in [*reversed(same), old]]
    pages = [titles(anyone, search="suites", page_size=2, page=n) for n in (1, 2, 3)]
    assert [titre for page in pages for titre in page] == expected


def test_another_order_may_be_asked_of_a_search_and_relevance_without_one(anyone):
    EpreuveFactory(titre="Suites b", annee=2020)
    EpreuveFactory(titre="Séries", description="suites", annee=2021)
    assert titles(anyone, search="suites") == ["Suites b", "Séries"]
    assert titles(anyone, search="suites", ordering="-annee") == ["Séries", "Suites b"]
    assert titles(anyone, ordering="pertinence") == titles(anyone)


def test_populaires_and_recentes_keep_their_own_order(anyone):
    EpreuveFactory(titre="Suites")
    EpreuveFactory(titre="Séries", description="suites")
    assert titles(anyone, "/api/epreuves/recentes/", search="suites") == ["Séries", "Suites"]


# --- Kept in step ------------------------------------------------------------------------


def test_a_new_title_is_found_and_the_old_one_is_not(anyone, mme_dossou):
    epreuve = EpreuveFactory(titre="Ancien")
    reads(epreuve, "cauchy")
    edit_epreuve(epreuve, par=mme_dossou, fichiers={}, titre="Nouveau")
    assert titles(anyone, search="nouveau cauchy") == ["Nouveau"]
    assert titles(anyone, search="ancien") == []


def test_hidden_epreuves_are_not_found(anyone, api, rachidi):
    for statut in Statut:
        EpreuveFactory(titre=f"Suites {statut}", statut=statut)
    assert titles(anyone, search="suites") == ["Suites publiee"]
    assert len(titles(api(rachidi), search="suites")) == len(Statut)


@pytest.mark.parametrize(
    ("search", "queries"), [("suites", 3), ("suites equatoins modele", 3), ("td", 2), ("%", 0)]
)
def test_a_search_takes_one_query_more_than_a_list(
    anyone, django_assert_num_queries, search, queries
):
    EpreuveFactory.create_batch(3, titre="Suites, équations et modèles : TD")
    with django_assert_num_queries(queries):
        titles(anyone, search=search)


def test_a_list_does_not_read_the_text_of_the_pdfs(anyone):
    reads(EpreuveFactory(titre="Suites"), "cauchy")
    with CaptureQueriesContext(connection) as captured:
        titles(anyone, search="cauchy")
    columns = [query["sql"].partition(" FROM ")[0] for query in captured]
    assert len(columns) == 3
    assert not any("core_texteepreuve" in read for read in columns)


@pytest.mark.django_db(transaction=True)
def test_the_migration_indexes_what_was_there_before():
    epreuve = with_file(EpreuveFactory(titre=EQUATIONS))
    EpreuveFactory(titre="Sans fichier")
    executor = MigrationExecutor(connection)
    latest = executor.loader.graph.leaf_nodes()
    executor.migrate([("core", "0007_favoris")])
    MigrationExecutor(connection).migrate(latest)
    assert Epreuve.objects.matching("equatoins").get() == epreuve
    etats = dict(TexteEpreuve.objects.values_list("epreuve__titre", "etat"))
    assert etats == {EQUATIONS: "en_attente", "Sans fichier": "sans_texte"}
    assert "2024" not in Mot.objects.values_list("texte", flat=True)


@pytest.mark.parametrize("asked", ["coeur", "couer", "colur"])
def test_a_short_word_is_not_taken_for_the_beginning_of_a_common_one(anyone, asked):
    EpreuveFactory(titre="Cours de courbes")
    assert titles(anyone, search=asked) == []
    EpreuveFactory(titre="Au cœur des séries")
    if asked != "colur":
        assert titles(anyone, search=asked) == ["Au cœur des séries"]
