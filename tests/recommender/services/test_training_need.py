import datetime as dt
from itertools import islice

import pytest

from apps.core.models import Interaction
from apps.recommender.models import TrainingLog
from apps.recommender.services.training_need import training_need
from tests.factories import EvaluationFactory, seen

pytestmark = pytest.mark.django_db


def needed(min_new=3, max_age_days=30):
    return training_need(min_new=min_new, max_age_days=max_age_days).is_there


@pytest.fixture
def later(trained, bank):
    """What so many students took since the last run, an épreuve each."""
    students = iter(bank.students["MATH"])

    def later(n):
        for student in islice(students, n):
            seen(student, bank.epreuves["PHYS"][0], days_ago=-1)

    return later


def test_enough_that_is_new_is_enough(later):
    later(2)
    assert not needed(min_new=3)
    later(1)
    assert needed(min_new=3)


def test_a_pair_that_the_model_knew_is_not_new(trained, bank):
    row = Interaction.objects.first()
    seen(row.user, row.epreuve, days_ago=-1)
    assert not needed(min_new=1)


def test_what_nobody_liked_is_not_new(later, bank):
    later(1)
    EvaluationFactory(
        user=bank.students["MATH"][0], epreuve=bank.epreuves["PHYS"][0], note_pertinence=1
    )
    assert not needed(min_new=1)


def test_an_old_model_needs_one_pair_and_no_more(later):
    assert not needed(max_age_days=0)
    later(1)
    assert needed(max_age_days=0)
    assert not needed(max_age_days=1)


def test_the_age_is_that_of_the_data_not_of_the_end(later):
    run = TrainingLog.objects.get()
    TrainingLog.objects.update(debut=run.debut - dt.timedelta(days=31))
    assert needed(min_new=1000)


def test_a_run_that_failed_taught_nothing(later):
    TrainingLog.objects.update(statut="echoue")
    need = training_need(min_new=3, max_age_days=30)
    assert need.is_there
    assert "jamais entraîné" in need.reason


def test_an_empty_bank_needs_none(db):
    assert not needed(min_new=1)
