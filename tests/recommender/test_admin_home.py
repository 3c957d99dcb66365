import datetime as dt
import html
import re
from pathlib import Path

import pytest
from django.utils import timezone

from apps.core.models import Interaction
from apps.recommender import model_store, telemetry
from apps.recommender.labels import FALLBACKS, SOURCES
from apps.recommender.models import DEAD_AFTER, FORGOTTEN_AFTER, ModelMetadata, TrainingLog
from apps.recommender.services import recommendations, reports, training_runs
from apps.recommender.services.health import health
from tests.conftest import REDIS_OPTIONS
from tests.factories import (
    CommentaireFactory,
    EpreuveFactory,
    InteractionFactory,
    SignalementFactory,
    UserFactory,
    seen,
)

pytestmark = pytest.mark.django_db

ALONE = "chaque processus ne compte que ses propres réponses"


@pytest.fixture
def home(client, rachidi):
    client.force_login(rachidi)

    def read() -> str:
        page = client.get("/admin/").content.decode()
        return " ".join(page.replace("\N{NO-BREAK SPACE}", " ").split())

    return read


def test_a_bank_without_a_model_says_what_to_do(home):
    assert "Aucun modèle ne sert" in home()
    assert health().unknown_students is None


def test_the_home_counts_the_active_students_whom_the_model_never_met(trained, bank, home):
    strangers = UserFactory.create_batch(8)
    EpreuveFactory()
    known = bank.epreuves["MATH"][0]
    for student in (*strangers, *bank.students["MATH"], *bank.students["PHYS"]):
        seen(student, known)
    seen(UserFactory(personnalisation=False), known)
    seen(UserFactory(is_active=False), known)
    seen(UserFactory(), known, days_ago=31)
    page = home()
    assert "(8 sur 24)" in page
    assert "33 % des étudiants actifs sont inconnus du modèle : ré-entraînez." in page
    assert "(1 sur 21)" in page
    assert "des épreuves publiées sont inconnues" not in page


def test_a_month_without_anybody_is_not_a_perfect_one(trained, home):
    Interaction.objects.all().delete()
    page = home()
    assert "Aucun étudiant actif ce mois : rien à mesurer." in page
    assert "(0 sur 0)" not in page


def test_answers_that_one_process_counts_alone_are_told(home, settings):
    settings.REDIS_URL = ""
    assert ALONE in home()


def test_a_few_students_are_no_reason_to_train_again(trained, bank, home):
    seen(UserFactory(), bank.epreuves["MATH"][0])
    assert "sont inconnus du modèle" not in home()


def test_an_old_model_and_one_that_cannot_be_loaded_are_told(trained, home, settings):
    long_ago = timezone.now() - dt.timedelta(days=61)
    ModelMetadata.objects.update(date_creation=long_ago)
    assert "Le modèle a 61 jours : ré-entraînez." in home()
    Path(settings.ML_MODELS_DIR, "v1", "manifest.json").write_text("{}")
    model_store.reset()
    assert "Le modèle v1 ne peut être chargé : aucun répond à sa place." in home()


def answered(**fields) -> None:
    telemetry.record(**{"version": "v1", "cached": False, "seconds": 0.01} | fields)


def test_the_home_says_that_a_refused_model_serves(trained, home):
    assert "par dérogation" not in home()
    ModelMetadata.objects.update(eligible=False, derogation="Seul à connaître les L1")
    assert "sert par dérogation (« Seul à connaître les L1 »)" in home()


def test_every_source_and_every_reason_has_its_words():
    assert set(SOURCES) == {*recommendations.SOURCES, reports.NONE}
    assert set(FALLBACKS) == set(recommendations.REPLIS)


def test_the_home_says_how_recommendations_were_answered(trained, home):
    for source, repli in (("ncf", None), ("populaires", "sans_historique")):
        for cached in (True, False, False, False):
            answered(source=source, repli=repli, cached=cached)
    page = home()
    assert "<dt>depuis le cache</dt><dd>25 %</dd>" in page
    assert "<dt>pas du modèle seul</dt><dd>50 %</dd>" in page
    assert "<dt>étudiant sans historique</dt><dd>50 %</dd>" in page
    assert "Première raison" not in page, "eight answers say nothing"
    for _ in range(50):
        answered(source="contenu", repli="epreuve_inconnue", seconds=1)
    page = home()
    assert "Le modèle ne remplit pas seul 93 % des réponses." in page
    assert "Première raison, épreuve inconnue du modèle : ré-entraînez." in page
    assert "Une réponse sur vingt prend plus de" in page


def test_the_home_opens_while_redis_is_away(trained, home, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": settings.REDIS_URL,
            "OPTIONS": REDIS_OPTIONS,
        },
        "processus": settings.CACHES["processus"],
    }
    page = home()
    assert "Redis ne répond pas : les chiffres des réponses manquent." in page
    assert "Inconnu : Redis ne répond pas." in page
    assert ALONE not in page


def test_a_run_in_progress_has_its_bar_and_goes_before_one_that_waits(home):
    TrainingLog.objects.create(statut="en_attente", epoch_totale=50)
    run = TrainingLog.objects.create(statut="en_cours", epoch_courante=3, epoch_totale=12, pid=1)
    page = home()
    assert f"/admin/recommender/traininglog/{run.pk}/change/" in page
    assert '<progress max="12" value="3"' in page


def test_a_dead_run_is_told_with_the_way_to_it(home):
    run = TrainingLog.objects.create(battement=timezone.now() - DEAD_AFTER * 1.1)
    page = home()
    there = f'href="/admin/recommender/traininglog/{run.pk}/change/">Entraînement {run.pk}</a>'
    assert f"{there} ne donne plus signe de vie" in page.replace("&nbsp;", " ")
    assert f"{there} — sans signe de vie" in page


@pytest.fixture
def forgotten(db):
    return TrainingLog.objects.create(
        statut="en_attente", battement=timezone.now() - FORGOTTEN_AFTER * 2
    )


def test_a_run_that_nobody_takes_wants_a_worker_where_there_are_workers(home, queue, forgotten):
    said = "L'entraînement demandé n'a pas commencé : lancez `python manage.py db_worker`."
    assert said in html.unescape(home())


def test_a_run_that_nobody_takes_has_a_journal_where_there_are_none(home, forgotten):
    page = html.unescape(home())
    journal = training_runs.journal_of(forgotten)
    assert f"L'entraînement demandé n'a pas commencé : lisez ce qu'en dit {journal}" in page
    assert "db_worker" not in page


def test_what_waits_for_a_moderator_is_counted(home, settings):
    EpreuveFactory.create_batch(2, statut="soumise")
    comment = CommentaireFactory()
    SignalementFactory.create_batch(2, commentaire=comment)
    SignalementFactory(traite=True)
    for name in ("un", "deux", "trois", "quatre.pris"):
        Path(settings.MEDIA_ROOT, "imports", name).mkdir(parents=True)
    page = home()
    for line, number in (
        ("épreuves à relire", 2),
        ("commentaires signalés", 1),
        ("imports à confirmer", 3),
    ):
        assert f"{line}</a></dt><dd>{number}</dd>" in page


def test_reported_comments_are_a_click_away_and_the_others_are_not(client, rachidi):
    SignalementFactory(commentaire=CommentaireFactory(contenu="Celui-ci est grossier"))
    SignalementFactory(commentaire=CommentaireFactory(contenu="Celui-là est jugé"), traite=True)
    CommentaireFactory(contenu="Celui-là est poli")
    client.force_login(rachidi)
    (link,) = re.findall(r'href="([^"]*)">commentaires signalés', client.get("/admin/").text)
    page = client.get(link).text
    assert "grossier" in page
    assert "jugé" not in page
    assert "poli" not in page


@pytest.mark.parametrize(("minutes", "day"), [(-1, -2), (1, -1), (31, -1)])
def test_days_are_those_of_the_institute_and_the_quiet_ones_are_there(awa, minutes, day):
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    InteractionFactory(user=awa, date=midnight + dt.timedelta(minutes=minutes))
    counts = list(health().by_day.values())
    assert (len(counts), counts[day], sum(counts)) == (30, 1, 1)


def test_the_home_asks_the_database_few_questions(
    trained, bank, client, rachidi, django_assert_max_num_queries
):
    client.force_login(rachidi)
    client.get("/admin/")
    TrainingLog.objects.create(statut="en_cours", pid=1)
    EpreuveFactory.create_batch(3, statut="soumise")
    for student in UserFactory.create_batch(12):
        seen(student, *bank.epreuves["PHYS"])
    with django_assert_max_num_queries(14):
        client.get("/admin/")
