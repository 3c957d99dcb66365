import dataclasses
import datetime as dt
import html
import os
import re

import pytest
import torch
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from apps.core.models import User
from apps.recommender.charts import training_curves
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.models import DEAD_AFTER, ActivationModele, ModelMetadata, TrainingLog
from apps.recommender.options import OPTIONS
from apps.recommender.services import training
from tests.recommender.conftest import CONFIG

pytestmark = pytest.mark.django_db


RUNS = "/admin/recommender/traininglog/"
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.fixture
def office(client, rachidi):
    client.force_login(rachidi)
    return client


def test_a_run_shows_its_curves_and_its_table(trained, office):
    run = TrainingLog.objects.get()
    page = office.get(f"/admin/recommender/traininglog/{run.pk}/change/").content.decode()
    assert page.count("<polyline") == 3
    assert "popularité" in page
    assert "meilleure epoch" in page


def test_a_model_shows_its_figures(trained, office):
    model = ModelMetadata.objects.get()
    page = office.get(f"/admin/recommender/modelmetadata/{model.pk}/change/").content.decode()
    assert "NDCG@10" in page
    assert model.sha256 in page


@pytest.mark.parametrize("what", ["traininglog", "modelmetadata"])
def test_figures_are_as_french_writes_them(trained, office, what):
    pk = {"traininglog": trained.run.pk, "modelmetadata": trained.model.pk}[what]
    for path in ("", f"{pk}/change/"):
        page = office.get(f"/admin/recommender/{what}/{path}").content.decode()
        said = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
        assert re.search(r"\b0,[0-9]{3}", said)
        assert not re.search(r"\b0\.[0-9]{3}", said)


MODELS = "/admin/recommender/modelmetadata/"


def active():
    return ModelMetadata.objects.get(est_actif=True).version


def test_a_model_shows_its_fiche_with_a_picture_and_a_table(trained, office):
    model = ModelMetadata.objects.get()
    model.fiche["tranches"] = [
        {
            "groupe": "filiere",
            "nom": "MATH",
            "mesure": "ndcg_at_10",
            "etudiants": 12,
            "valeur": 0.5,
            "popularite": 0.2,
            "intervalle_gain": [0.1, 0.4],
        }
    ]
    model.save()
    page = office.get(f"{MODELS}{model.pk}/change/").content.decode()
    assert "Gain de NDCG@10 sur la popularité, par filière" in page
    assert "MATH (12)" in page
    assert "[+0,1000 ; +0,4000]" in page
    for limit in model.fiche["limites"]:
        assert escape(limit) in page


def test_a_model_of_before_the_fiches_has_a_page_too(trained, office):
    ModelMetadata.objects.update(fiche={}, derniere_interaction=None)
    model = ModelMetadata.objects.get()
    assert office.get(f"{MODELS}{model.pk}/change/").status_code == 200


def test_a_model_is_activated_from_its_page(twins, office, rachidi):
    page = f"{MODELS}{twins['v1'].pk}/activer/"
    assert "à la place de v2" in office.get(page).content.decode()
    office.post(page, {"actif": "v2", "motif": ""})
    row = ActivationModele.objects.first()
    assert (active(), row.declencheur, row.active_par) == ("v1", "admin", rachidi)


def test_a_refused_model_asks_for_the_reason(twins, office):
    ModelMetadata.objects.filter(version="v1").update(eligible=False, motif_refus="NDCG trop bas.")
    page = f"{MODELS}{twins['v1'].pk}/activer/"
    assert "NDCG trop bas" in office.get(page).content.decode()
    refused = office.post(page, {"actif": "v2", "motif": "parce que"})
    assert "au moins 3 mots" in refused.content.decode()
    assert active() == "v2"
    office.post(page, {"actif": "v2", "motif": "v2 oublie les L1"})
    assert active() == "v1"
    shown = office.get(f"{MODELS}{twins['v1'].pk}/change/").content.decode()
    assert "v2 oublie les L1" in shown
    journal = office.get("/admin/recommender/activationmodele/").content.decode()
    assert journal.count("par dérogation") == 1


def test_what_was_refused_for_a_page_too_old_can_be_asked_again(twins, office):
    page = f"{MODELS}{twins['v1'].pk}/activer/"
    stale = office.post(page, {"actif": "v9", "motif": "v2 se répète"})
    assert list(stale.context["form"].errors) == ["__all__"]
    told = stale.content.decode()
    assert "v2 sert, et non plus v9" in told
    assert "v2 se répète</textarea>" in told
    assert '<input type="hidden" name="actif" value="v2">' in told
    office.post(page, {"actif": "v2", "motif": "v2 se répète"})
    assert active() == "v1"


def test_only_a_model_that_does_not_serve_has_a_button_to_activate_it(twins, office):
    for version, offered in (("v1", True), ("v2", False)):
        page = office.get(f"{MODELS}{twins[version].pk}/change/").content.decode()
        assert ("/activer" in page) is offered


def test_the_way_back_is_one_click_on_the_list(twins, office):
    assert "Revenir au modèle précédent : v1" in office.get(MODELS).content.decode()
    office.post(f"{MODELS}revenir/", {"actif": "v2"})
    assert active() == "v1"
    # A page opened before that, or a double click: it saw v2.
    told = office.post(f"{MODELS}revenir/", {"actif": "v2"}, follow=True).content.decode()
    assert "v1 sert, et non plus v2" in told
    assert active() == "v1"


def test_the_way_back_is_never_by_a_link(twins, office, client):
    assert office.get(f"{MODELS}revenir/").status_code == 405
    assert active() == "v2"


def test_only_who_may_change_models_switches_them(twins, client, mme_dossou):
    client.force_login(mme_dossou)
    for path in ("revenir/", f"{twins['v1'].pk}/activer/"):
        assert client.post(MODELS + path, {"actif": "v2"}).status_code == 302
    assert active() == "v2"


def test_a_click_from_another_site_switches_nothing(twins, rachidi):
    client = Client(enforce_csrf_checks=True)
    client.force_login(rachidi)
    assert client.post(f"{MODELS}revenir/", {"actif": "v2"}).status_code == 403
    assert active() == "v2"


@pytest.mark.parametrize("name", ["traininglog", "modelmetadata", "activationmodele"])
def test_lists_are_read_only_and_need_no_query_per_row(
    trained, office, name, django_assert_max_num_queries
):
    with django_assert_max_num_queries(12):
        assert office.get(f"/admin/recommender/{name}/").status_code == 200
    assert office.get(f"/admin/recommender/{name}/add/").status_code == 403


@pytest.mark.parametrize("model", [TrainingLog, ModelMetadata, ActivationModele])
def test_nobody_changes_what_training_wrote(trained, office, model):
    name, row = model._meta.model_name, model.objects.get()
    url = f"/admin/recommender/{name}/{row.pk}"
    assert office.post(f"{url}/change/", {"statut": "annule"}).status_code == 403
    assert office.post(f"{url}/delete/", {"post": "yes"}).status_code == 403


def test_a_failed_run_has_a_page_too(office, db):
    run = TrainingLog.objects.create(statut="echoue", erreur="Aucune interaction")
    page = office.get(f"/admin/recommender/traininglog/{run.pk}/change/").content.decode()
    assert "Aucune interaction" in page


def page_of(client, run):
    return html.unescape(client.get(f"{RUNS}{run.pk}/change/").content.decode())


@pytest.mark.parametrize(
    ("became", "said"),
    [
        ({}, "actif."),
        ({"est_actif": False}, "activé, puis remplacé."),
        ({"est_actif": False, "active_le": None}, "pas activé."),
        (
            {"est_actif": False, "eligible": False, "motif_refus": "Moins bon que v0."},
            "refusé : Moins bon que v0.",
        ),
        (
            {"eligible": False, "motif_refus": "Moins bon.", "derogation": "Essai"},
            "actif par dérogation : Moins bon.",
        ),
    ],
)
def test_a_run_says_what_became_of_its_model(trained, office, became, said):
    ModelMetadata.objects.update(**became)
    page = page_of(office, trained.run)
    assert f'href="{MODELS}{trained.model.pk}/change/">Modèle v1</a>, {said}' in page
    fate = said.rstrip(".").partition(" : ")[0]
    assert f"Terminé, {fate}<" in html.unescape(office.get(RUNS).content.decode())


def test_a_run_explains_the_words_of_its_figures(trained, office):
    page = page_of(office, trained.run)
    for word in ("NDCG@10</strong> :", "RMSE</strong> :", "Une epoch est", "paires positives ("):
        assert word in page


def test_a_run_that_has_read_nothing_counts_nothing_and_tells_as_soon_as_it_has(office, living):
    url = f"{RUNS}{living.pk}/avancement/"
    assert "Données : –" in " ".join(office.get(url).json()["avancement"].split())
    assert "utilisateurs" not in page_of(office, living)
    TrainingLog.objects.update(nb_utilisateurs=40, nb_epreuves=60, nb_interactions=900)
    assert "40 utilisateurs, 60 épreuves, 900 paires" in office.get(url).json()["avancement"]


def test_the_journal_of_actions_does_not_keep_the_state_of_a_run(queue, office, db):
    office.post(f"{RUNS}entrainer/", FORM)
    run = TrainingLog.objects.get()
    assert LogEntry.objects.get().object_repr == f"Entraînement {run.pk}"


@pytest.mark.parametrize(("seconds", "said"), [(31, True), (20, False)])
def test_a_run_that_no_worker_takes_says_how_to_start_one(queue, office, seconds, said):
    asked = timezone.now() - dt.timedelta(seconds=seconds)
    run = TrainingLog.objects.create(statut="en_attente", battement=asked)
    for path in ("", f"{run.pk}/change/"):
        page = office.get(f"/admin/recommender/traininglog/{path}").content.decode()
        assert ("python manage.py db_worker" in page) is said, path


# --- Retraining ------------------------------------------------------------------------------

FORM = {
    "architecture": "hybrid",
    "epochs": 3,
    "batch_size": 64,
    "embedding_dim": 8,
    "learning_rate": 0.01,
    "device": "cpu",
    "negative_samples": 4,
    "seed": 42,
}


def test_the_form_has_every_option_with_its_default(office, db):
    page = office.get(f"{RUNS}entrainer/").content.decode()
    for option in OPTIONS:
        assert f'name="{option.name}"' in page
        assert option.label in html.unescape(page)
    assert "Ré-entraîner" in office.get(RUNS).content.decode()


def test_a_training_is_asked_for_and_its_page_comes_at_once(queue, office, rachidi):
    answer = office.post(f"{RUNS}entrainer/", FORM)
    run = TrainingLog.objects.get()
    assert answer["Location"] == f"{RUNS}{run.pk}/change/"
    assert (run.statut, run.declencheur, run.lance_par) == ("en_attente", "admin", rachidi)
    assert run.hyperparametres == dataclasses.asdict(TrainingConfig(**FORM))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "supérieure ou égale à"),
        ({"learning_rate": "nan"}, "nombre"),
        ({"pretraining": "on"}, "ne vaut que pour neumf"),
        ({"version": "../x"}, "ne peut nommer un modèle"),
        pytest.param({"device": "cuda"}, "choisissez l'appareil cpu", marks=without_cuda),
    ],
)
def test_an_option_that_makes_no_sense_is_said_in_the_form(office, db, wrong, said):
    answer = office.post(f"{RUNS}entrainer/", FORM | wrong)
    assert answer.status_code == 200
    assert said in html.unescape(answer.content.decode())
    assert not TrainingLog.objects.exists()


def test_a_worker_may_have_the_card_that_this_machine_lacks(queue, office, db):
    office.post(f"{RUNS}entrainer/", FORM | {"device": "cuda"})
    assert TrainingLog.objects.get().hyperparametres["device"] == "cuda"


@pytest.mark.parametrize("rate", ["0,002", "0.002"])
def test_a_rate_is_written_with_a_comma_or_a_point(queue, office, db, rate):
    office.post(f"{RUNS}entrainer/", FORM | {"learning_rate": rate})
    assert TrainingLog.objects.get().hyperparametres["learning_rate"] == 0.002


def test_the_form_bears_its_title_and_advises(office, db):
    page = html.unescape(office.get(f"{RUNS}entrainer/").content.decode())
    title = page.partition("<h1")[2].partition("</h1>")[0]
    assert "Ré-entraîner" in title
    assert "Laissez ces réglages tels quels" in page


def test_a_second_training_is_refused_in_the_form_which_leads_to_the_first(office, living):
    page = html.unescape(office.post(f"{RUNS}entrainer/", FORM).content.decode())
    assert f"Entraînement {living.pk} en cours depuis" in page
    assert "attendez sa fin ou annulez-le" in page
    assert f'href="{RUNS}{living.pk}/change/">Ouvrir sa page</a>' in page


@pytest.fixture
def living(db):
    """A run of this process."""
    return TrainingLog.objects.create(hote=os.uname().nodename, pid=os.getpid(), epoch_totale=9)


@pytest.fixture
def clerk(client, m_zinsou):
    """Who may look at runs and do nothing with them: an administrator whose rights were cut."""
    User.objects.filter(pk=m_zinsou.pk).update(role="administrateur", is_staff=True)
    view = Permission.objects.get(codename="view_traininglog")
    m_zinsou.user_permissions.add(view)
    client.force_login(User.objects.get(pk=m_zinsou.pk))
    return client


@pytest.mark.parametrize("move", ["annuler", "reprendre"])
def test_a_run_is_moved_by_post_and_by_permission_alone(clerk, living, move):
    page = clerk.get(f"{RUNS}{living.pk}/change/").content.decode()
    assert f"{RUNS}{living.pk}/{move}/" not in page
    assert clerk.post(f"{RUNS}{living.pk}/{move}/").status_code == 403
    assert clerk.get(f"{RUNS}entrainer/").status_code == 403
    assert clerk.get(f"{RUNS}{living.pk}/avancement/").status_code == 200
    living.refresh_from_db()
    assert living.arret_demande_le is None


def test_a_run_that_lives_is_stopped_from_its_page(office, living, rachidi):
    url = f"{RUNS}{living.pk}/annuler/"
    assert url in office.get(f"{RUNS}{living.pk}/change/").content.decode()
    assert office.get(url).status_code == 405
    page = office.post(url, follow=True).content.decode()
    assert "Arrêt demandé" in page
    living.refresh_from_db()
    assert living.arret_demande_par == rachidi


def test_a_run_that_stopped_is_resumed_from_its_page(queue, bank, office):
    def full(entry):
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        training.train(CONFIG, on_epoch=full)
    run = TrainingLog.objects.get()
    url = f"{RUNS}{run.pk}/reprendre/"
    assert url in office.get(f"{RUNS}{run.pk}/change/").content.decode()
    assert "Reprise demandée." in office.post(url, follow=True).content.decode()
    assert "il n'est pas arrêté" in html.unescape(office.post(url, follow=True).content.decode())
    run.refresh_from_db()
    assert (run.statut, run.reprises) == ("en_attente", 1)


def test_a_run_tells_how_far_it_is(office, trained, django_assert_max_num_queries):
    run = TrainingLog.objects.get()
    with django_assert_max_num_queries(4):
        said = office.get(f"{RUNS}{run.pk}/avancement/").json()
    assert said["etat"] == "termine"
    assert "Terminé" in said["avancement"]
    assert said["courbes"].count("<polyline") == 3
    TrainingLog.objects.update(statut="en_cours", fin=None, etape="final")
    said = office.get(f"{RUNS}{run.pk}/avancement/").json()
    assert said["etat"] == "en_cours"
    assert "apprentissage final" in said["avancement"]
    assert f'<progress max="{CONFIG.epochs}" value="{run.epoch_courante}"' in said["avancement"]
    assert "training.js" in office.get(f"{RUNS}{run.pk}/change/").content.decode()


def test_a_dead_run_says_so_and_asks_for_no_more(office, living):
    TrainingLog.objects.update(hote="elsewhere", battement=timezone.now() - DEAD_AFTER * 1.1)
    assert office.get(f"{RUNS}{living.pk}/avancement/").json()["etat"] == "mort"
    page = office.get(f"{RUNS}{living.pk}/change/").content.decode()
    assert "Son processus s'est tu : annulez-le." in page
    assert "Aucun modèle." in page
    assert "training.js" not in page
    for shown in (page, office.get(RUNS).content.decode()):
        assert "Sans signe de vie" in shown


def test_a_run_of_one_epoch_is_drawn(db):
    entry = {
        "epoch": 1,
        "loss_entrainement": 0.5,
        "loss_validation": 0.5,
        "ndcg_validation": 0.0,
        "learning_rate": 0.001,
        "secondes": 0.1,
    }
    assert training_curves([entry], 1, "neumf").count("<circle") == 3
    assert "<td>mlp</td>" in training_curves([{**entry, "phase": "mlp"}], 1, "neumf")
    assert "entropie croisée binaire" in training_curves([entry], 1, "neumf")
    assert "softmax échantillonné" in training_curves([entry], 1, "hybrid")
