import json

import pytest
from django.core.management import call_command

from apps.core.calibration import Rating, difficulties
from apps.core.models import Epreuve
from apps.core.services.difficulty import CalibrationReport, calibrate_difficulty
from apps.core.services.evaluations import withdraw_evaluation
from tests.factories import EpreuveFactory, EvaluationFactory, UserFactory

pytestmark = pytest.mark.django_db


def stored():
    rows = Epreuve.objects.exclude(difficulte_calibree=None)
    return dict(rows.values_list("pk", "difficulte_calibree"))


def severe_and_mild(epreuves):
    """Two severe people rate all but the last, two mild ones all but the first."""
    severe, mild = UserFactory.create_batch(2), UserFactory.create_batch(2)
    for people, some, note in ((severe, epreuves[:-1], 5), (mild, epreuves[1:], 2)):
        for user in people:
            for epreuve in some:
                EvaluationFactory(user=user, epreuve=epreuve, note_difficulte=note)


def test_the_detail_shows_what_the_command_wrote_and_nothing_before(anyone, capsys):
    epreuves = EpreuveFactory.create_batch(5)
    severe_and_mild(epreuves)
    url = f"/api/epreuves/{epreuves[0].pk}/"
    assert anyone.get(url).json()["difficulte_calibree"] is None
    call_command("calibrate_difficulty")
    said = capsys.readouterr().out
    assert said == "16 évaluations, 5 épreuves calibrées, 5 changées.\n"
    ratings = [
        Rating(row.user_id, row.epreuve_id, row.note_difficulte)
        for epreuve in epreuves
        for row in epreuve.evaluations.all()
    ]
    assert stored() == pytest.approx(difficulties(ratings), abs=0.01)
    assert anyone.get(url).json()["difficulte_calibree"] == stored()[epreuves[0].pk]


def test_run_again_it_changes_nothing(django_assert_num_queries):
    severe_and_mild(EpreuveFactory.create_batch(4))
    calibrate_difficulty()
    before = list(Epreuve.objects.order_by("pk").values())
    with django_assert_num_queries(2):
        assert calibrate_difficulty() == CalibrationReport(evaluations=12, epreuves=4, changed=0)
    assert list(Epreuve.objects.order_by("pk").values()) == before


def test_it_dates_no_epreuve_as_modified():
    epreuve = EvaluationFactory().epreuve
    modified = epreuve.date_modification
    calibrate_difficulty()
    epreuve.refresh_from_db()
    assert (epreuve.difficulte_calibree, epreuve.date_modification) == (3, modified)


def test_what_has_no_note_left_has_no_difficulty():
    evaluation = EvaluationFactory()
    calibrate_difficulty()
    withdraw_evaluation(evaluation)
    assert calibrate_difficulty() == CalibrationReport(0, 0, 1)
    assert stored() == {}


def test_authors_and_moderators_do_not_weigh(mme_dossou, rachidi):
    epreuve = EpreuveFactory(depose_par=mme_dossou)
    for user in (mme_dossou, rachidi):
        EvaluationFactory(user=user, epreuve=epreuve, note_difficulte=1)
    assert calibrate_difficulty() == CalibrationReport(0, 0, 0)
    assert stored() == {}


def test_in_batches_all_are_written(monkeypatch):
    monkeypatch.setattr("apps.core.services.difficulty.BATCH", 2)
    for note in (1, 2, 3, 4, 5):
        EvaluationFactory(note_difficulte=note)
    calibrate_difficulty()
    assert len(set(stored().values())) == 5


def test_nothing_says_how_severe_anybody_is(api, awa):
    severe_and_mild(EpreuveFactory.create_batch(3))
    calibrate_difficulty()
    paths = ["moi/", "evaluations/", *(f"epreuves/{pk}/" for pk in stored())]
    answers = [api(awa).get(f"/api/{path}").json() for path in paths]
    assert "sever" not in json.dumps(answers)
    columns = {field.name for model in (type(awa), Epreuve) for field in model._meta.fields}
    assert not any("sever" in column for column in columns)
