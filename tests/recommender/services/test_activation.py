import dataclasses
import datetime as dt
import threading

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.recommender import model_store
from apps.recommender.ml.errors import CorruptArtifact
from apps.recommender.models import ActivationModele, ModelMetadata
from apps.recommender.selectors import past_of
from apps.recommender.services import training
from apps.recommender.services.activation import (
    ActivationRefused,
    ActiveChanged,
    ModelRefused,
    MotiveMissing,
    NothingBefore,
    activate,
    previous_model,
    return_to_previous,
)
from tests.recommender.conftest import CONFIG, copy_of

pytestmark = pytest.mark.django_db


def active():
    return ModelMetadata.objects.get(est_actif=True).version


def journal():
    rows = ActivationModele.objects.order_by("pk")
    return [
        (row.modele.version, row.precedente and row.precedente.version, row.declencheur)
        for row in rows
    ]


def test_what_training_activates_is_in_the_journal(twins):
    assert journal() == [("v1", None, "entrainement"), ("v2", "v1", "entrainement")]


def test_an_activation_says_who_why_and_instead_of_what(twins, rachidi):
    row = activate(twins["v1"], declencheur="admin", par=rachidi, motif="v2 se répète")
    assert (row.modele, row.precedente) == (twins["v1"], twins["v2"])
    assert (row.active_par, row.motif, row.declencheur) == (rachidi, "v2 se répète", "admin")
    twins["v1"].refresh_from_db()
    assert (twins["v1"].active_le, twins["v1"].active_par) == (row.active_le, rachidi)
    assert active() == "v1"


def test_the_active_model_is_not_activated_again(twins):
    assert activate(twins["v2"], declencheur="commande") is None
    assert len(journal()) == 2


def test_previous_goes_back_and_forth(twins):
    assert previous_model() == twins["v1"]
    activate(twins["v1"], declencheur="commande")
    assert previous_model() == twins["v2"]


def test_a_refused_model_does_not_serve(twins):
    ModelMetadata.objects.filter(version="v1").update(eligible=False, motif_refus="NDCG trop bas.")
    twins["v1"].refresh_from_db()
    with pytest.raises(ModelRefused, match="NDCG trop bas"):
        activate(twins["v1"], declencheur="commande")
    assert active() == "v2"


def test_a_refused_model_serves_by_override_for_a_reason_that_stays(twins, rachidi):
    ModelMetadata.objects.filter(version="v1").update(eligible=False, motif_refus="NDCG trop bas.")
    twins["v1"].refresh_from_db()
    for motif in ("", "parce que", "   "):
        with pytest.raises(MotiveMissing):
            activate(twins["v1"], declencheur="admin", motif=motif, override=True)
    assert active() == "v2"
    row = activate(
        twins["v1"], declencheur="admin", par=rachidi, motif="v2 oublie les L1", override=True
    )
    twins["v1"].refresh_from_db()
    assert (row.derogation, row.motif) == (True, "v2 oublie les L1")
    assert twins["v1"].derogation == "v2 oublie les L1"
    # Once left, it takes a reason again, and each of its stays is marked in the journal.
    activate(twins["v2"], declencheur="admin")
    with pytest.raises(ModelRefused):
        activate(twins["v1"], declencheur="admin")
    again = activate(twins["v1"], declencheur="admin", motif="encore les L1 oubliés", override=True)
    assert again.derogation


@pytest.fixture
def three(twins):
    """v1, then v2, then v3, that training refused and that serves by override."""
    weak = copy_of(twins["v2"], "v3")
    ModelMetadata.objects.filter(pk=weak.pk).update(eligible=False, motif_refus="NDCG trop bas.")
    weak.refresh_from_db()
    activate(weak, declencheur="admin", motif="v2 oublie les L1", override=True)


def test_going_back_walks_back_and_never_to_what_was_just_left(three):
    for version, before in (("v2", "v1"), ("v1", None)):
        return_to_previous(declencheur="admin")
        assert (active(), getattr(previous_model(), "version", None)) == (version, before)
    with pytest.raises(NothingBefore):
        return_to_previous(declencheur="admin")


def test_a_clock_put_back_does_not_change_the_way_back(twins):
    ActivationModele.objects.update(active_le=timezone.now() + dt.timedelta(hours=2))
    activate(twins["v1"], declencheur="commande")
    assert previous_model() == twins["v2"]


def test_going_back_passes_over_what_was_refused(three, twins):
    training.train(CONFIG, version="v4")
    assert journal()[-1][:2] == ("v4", "v3")
    assert previous_model() == twins["v2"]
    return_to_previous(declencheur="admin")
    assert (active(), previous_model()) == ("v2", twins["v1"])


def test_what_is_activated_after_going_back_is_undone_to_where_one_went_back(three, twins):
    return_to_previous(declencheur="admin")
    return_to_previous(declencheur="admin")
    activate(twins["v2"], declencheur="admin")
    assert previous_model() == twins["v1"]
    return_to_previous(declencheur="admin")
    assert (active(), previous_model()) == ("v1", None)


def test_overriding_where_nothing_was_refused_is_an_activation_like_any_other(twins):
    row = activate(twins["v1"], declencheur="admin", override=True)
    assert row.derogation is False
    twins["v1"].refresh_from_db()
    assert twins["v1"].derogation == ""


def test_the_database_itself_keeps_a_refused_model_out(twins):
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelMetadata.objects.filter(est_actif=True).update(eligible=False)
    with pytest.raises(IntegrityError), transaction.atomic():
        ActivationModele.objects.update(derogation=True)
    ModelMetadata.objects.filter(est_actif=True).update(eligible=False, derogation="Par essai.")


def test_the_way_back_is_that_of_the_model_that_was_seen(twins):
    with pytest.raises(ActiveChanged, match="v2 sert, et non plus v1"):
        return_to_previous(declencheur="admin", instead_of="v1")
    assert return_to_previous(declencheur="admin", instead_of="v2").modele == twins["v1"]
    assert active() == "v1"


def test_the_first_model_has_no_way_back(trained):
    with pytest.raises(NothingBefore):
        return_to_previous(declencheur="commande")


def test_a_model_whose_files_changed_does_not_serve(twins, settings):
    (settings.ML_MODELS_DIR / "v1" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CorruptArtifact):
        activate(twins["v1"], declencheur="commande")
    assert (active(), len(journal())) == ("v2", 2)


def test_a_rollback_gives_every_student_the_same_scores_bit_for_bit(trained, bank):

    def scores():
        model_store.reset()  # as a process that never saw the model
        predictor = model_store.active_model().predictor
        return [
            [part.tobytes() for part in predictor.user_scores(student.pk, past_of(student))]
            for student in bank.students["MATH"]
        ]

    before = scores()
    training.train(dataclasses.replace(CONFIG, seed=7), version="v2")
    assert scores() != before
    activate(ModelMetadata.objects.get(version="v1"), declencheur="commande")
    assert scores() == before


@pytest.mark.django_db(transaction=True)
def test_activations_at_once_leave_one_active_model_and_a_chain_in_the_journal(twins):
    faults = []

    def switch(version):
        try:
            for _ in range(5):
                activate(ModelMetadata.objects.get(version=version), declencheur="commande")
        except Exception as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=switch, args=(name,)) for name in ("v1", "v2") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    chain = journal()
    assert [before for _, before, _ in chain[1:]] == [version for version, _, _ in chain[:-1]]
    assert chain[-1][0] == active()


@pytest.mark.django_db(transaction=True)
def test_two_returns_at_once_are_one_return(twins):
    """Both saw v2 serving: the second does not undo the first."""
    together, said = threading.Barrier(6), []

    def go_back():
        together.wait()
        try:
            said.append(return_to_previous(declencheur="admin", instead_of="v2").modele.version)
        except ActivationRefused as refusal:
            said.append(type(refusal).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=go_back) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["ActiveChanged"] * 5 + ["v1"]
    assert active() == "v1"
