import datetime as dt
from pathlib import Path

import pytest
from django.utils import timezone

from apps.core.models import Interaction
from apps.recommender.drawing import lines
from apps.recommender.models import ModelMetadata, TrainingLog
from apps.recommender.services.comparison import Comparison, _overlap
from tests.factories import InteractionFactory

pytestmark = pytest.mark.django_db

PAGE = "/admin/recommender/modelmetadata/comparer/"


@pytest.fixture
def two(trained, bank):
    """A model and its twin, of the same files, and what students took after."""
    run, model = trained.run, trained.model
    run.pk = model.pk = None
    run.version = model.version = "v2"
    run.save()
    model.training_log, model.est_actif = run, False
    model.save()
    for code, students in bank.students.items():
        for rank, student in enumerate(students):
            date = timezone.now() + dt.timedelta(minutes=rank)
            InteractionFactory(user=student, epreuve=bank.epreuves[code][rank - 1], date=date)
    return list(ModelMetadata.objects.order_by("version"))


@pytest.fixture
def office(client, rachidi):
    client.force_login(rachidi)
    return client


def read(office, *models, **more):
    asked = {"modele": [model.pk for model in models], **more}
    return " ".join(office.get(PAGE, asked).content.decode().split())


def test_curves_and_figures_stand_side_by_side_without_reading_a_file(two, office, settings):
    for path in Path(settings.ML_MODELS_DIR).rglob("*.*"):
        path.unlink()
    page = read(office, *two)
    assert page.count("<polyline") == 4
    assert "<td>0," in page
    assert "v1" in page
    assert "v2" in page
    assert 'data-occupe="Mesure en cours…"' in page
    assert "Écart de NDCG@10" not in page


def test_twins_do_not_differ_and_give_the_same_lists(two, office):
    page = read(office, *two, mesurer=1)
    assert '<th scope="row">v2</th><td>+0,0000</td><td>+0,0000</td><td>+0,0000</td>' in page
    assert "Épreuves communes aux dix premières de v1 et de v2" in page
    assert "16 étudiants tirés au sort" in page
    (overlap,) = Comparison(two).overlaps()
    assert overlap.jaccard == 1.0
    assert overlap.n_students == 16


def test_lists_that_share_less_are_less_alike(two):
    lists = {1: [10, 20], 2: [10, 30], 3: []}
    others = {1: [20, 10], 2: [40, 30], 4: [10]}
    overlap = _overlap(*two, lists, others)
    assert overlap.jaccard == pytest.approx((1 + 1 / 3) / 2)
    assert overlap.common[:3] == [0, 1, 1]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"chemin": "v3"}, "Le modèle v3 est inutilisable"),
        (
            {"fichiers_supprimes_le": dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)},
            "Les fichiers du modèle v2 ont été supprimés le 01/03/2026.",
        ),
    ],
)
def test_files_that_are_gone_are_told(two, office, broken, said):
    ModelMetadata.objects.filter(version="v2").update(**broken)
    page = read(office, *two, mesurer=1)
    assert said in page
    assert "Écart de NDCG@10" not in page


def test_with_nothing_newer_there_is_no_difference_to_tell(two, office):
    Interaction.objects.filter(date__gt=timezone.now() - dt.timedelta(days=1)).delete()
    page = read(office, *two, mesurer=1)
    assert "leurs chiffres sur le test, ci-dessus, se comparent un à un" in page
    assert "attendez-en" not in page
    assert "Épreuves communes" in page
    assert "En hauteur, les étudiants" in page
    TrainingLog.objects.filter(version="v2").update(empreinte_donnees="autre")
    assert "attendez-en" in read(office, *two, mesurer=1)


def test_losses_of_two_kinds_are_not_to_be_compared(two, office):
    caution = "pas de la même perte"
    assert caution not in read(office, *two)
    ModelMetadata.objects.filter(version="v2").update(architecture="hybrid")
    ModelMetadata.objects.filter(version="v1").update(architecture="gmf")
    assert caution in read(office, *two)


def test_a_model_of_one_epoch_is_drawn_and_no_axis_goes_below_nought():
    drawn = lines("NDCG@10", {"v1": [(1, 0.0)], "v2": [(1, 0.0), (2, 0.04)]})
    assert drawn.count("<circle") == 3
    assert ">0</text>" in drawn
    assert ">−0" not in drawn


@pytest.mark.parametrize("asked", [{"modele": "1"}, {"modele": "x"}, {"modele": [1, 9]}])
def test_one_model_or_an_unknown_one_is_told(trained, office, asked):
    response = office.get(PAGE, asked)
    assert response.status_code == 200
    assert "hoisi" in response.content.decode()


def test_the_list_sends_those_that_are_ticked(two, office):
    url = "/admin/recommender/modelmetadata/"
    ticked = {"action": "compare_selected", "_selected_action": [model.pk for model in two]}
    assert office.post(url, ticked).url.startswith(f"{PAGE}?modele=")
    few = office.post(url, ticked | {"_selected_action": [two[0].pk]}, follow=True)
    assert "Choisissez de 2 à 4 modèles à comparer." in few.content.decode()


def test_a_teacher_compares_nothing(trained, client, mme_dossou):
    client.force_login(mme_dossou)
    assert client.get(PAGE).status_code == 302
