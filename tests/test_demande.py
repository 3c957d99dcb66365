"""What was asked for, literally: paths, names, commands, options, endpoints, fields, README.

These lists are the request. A line of them changes only when the request does.
"""

import os
import re
import subprocess
import sys
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command, get_commands, load_command_class
from django.urls import resolve
from rest_framework.test import APIClient

from apps.core.models import Epreuve, Role, User
from apps.recommender.labels import MODELS as MODEL_NAMES
from apps.recommender.ml.architectures import ARCHITECTURES
from tests.factories import EpreuveFactory, UserFactory, with_file

ROOT = Path(__file__).parent.parent

# --- The tree ------------------------------------------------------------------------------

PATHS = """
config/settings/base.py config/settings/development.py config/settings/production.py
config/urls.py config/wsgi.py
apps/core/models.py apps/core/admin.py apps/core/serializers.py apps/core/views.py
apps/recommender/ml/ncf_model.py apps/recommender/ml/data_loader.py
apps/recommender/ml/trainer.py apps/recommender/ml/predictor.py
apps/recommender/management/commands/train_model.py apps/recommender/api/views.py
ml_models data/raw data/processed data/synthetic scripts tests
requirements/base.txt requirements/development.txt requirements/production.txt
docker-compose.yml manage.py setup.sh .env.example README.md
scripts/test_api.py scripts/generate_synthetic_data.py
""".split()

PACKAGES = """
django djangorestframework djangorestframework-simplejwt drf-spectacular psycopg django-redis
torch numpy pandas scikit-learn gunicorn pytest-django
""".split()

MODELS = {
    "core": {"User", "Epreuve", "Interaction", "Evaluation", "Commentaire"},
    "recommender": {"TrainingLog", "ModelMetadata"},
}

SETTINGS = {"SECRET_KEY", "DB_PASSWORD", "JWT_SECRET_KEY", "DEBUG", "ALLOWED_HOSTS"}


@pytest.mark.parametrize("path", PATHS)
def test_the_asked_for_path_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.lower())


def test_the_asked_for_packages_are_pinned() -> None:
    pinned = {
        _canonical(match[1])
        for path in (ROOT / "requirements").glob("*.txt")
        for match in re.finditer(
            r"^([\w.-]+)(?:\[[\w,]+\])?==\S+", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {_canonical(name) for name in PACKAGES} <= pinned


@pytest.mark.parametrize(
    ("app", "model"), [(app, model) for app, models in MODELS.items() for model in sorted(models)]
)
def test_the_asked_for_model_exists_and_is_in_the_admin(app: str, model: str) -> None:
    assert admin.site.is_registered(apps.get_model(app, model))


def test_neumf_is_gmf_and_mlp_together_and_the_default_is_neumf_in_two_stages() -> None:
    asked_for = {"gmf": ("gmf",), "mlp": ("mlp",), "neumf": ("gmf", "mlp")}
    assert asked_for == ARCHITECTURES
    assert _parsed("train_model")["architecture"] == "hybrid"
    assert set(MODEL_NAMES) >= {*ARCHITECTURES, "hybrid"}


def test_env_example_has_the_asked_for_names() -> None:
    names = re.findall(
        r"^(\w+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(names) >= SETTINGS


def test_docker_compose_starts_postgresql_15_and_redis_7() -> None:
    images = re.findall(
        r"image: (\w+):(\d+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    )
    assert set(images) >= {("postgres", "15"), ("redis", "7")}


def test_recommendations_are_cached_for_an_hour_by_default() -> None:
    assert settings.RECOMMANDATIONS_CACHE_SECONDES == 3600


def test_the_asked_for_wsgi_application_loads() -> None:
    assert callable(import_module("config.wsgi").application)


# --- Commands --------------------------------------------------------------------------------

OPTIONS = {
    "train_model": {
        "--epochs": 50,
        "--batch-size": 256,
        "--embedding-dim": 64,
        "--learning-rate": 0.001,
        "--device": "cpu",
        "--negative-samples": 4,
    },
    "generate_data": {"--users": 200, "--epreuves": 150, "--interactions": 15000},
}
DJANGO_COMMANDS = """
migrate makemigrations createsuperuser runserver collectstatic test shell
""".split()


def _parsed(command: str, *argv: str) -> dict[str, Any]:
    parser = load_command_class(get_commands()[command], command).create_parser(
        "manage.py", command
    )
    return vars(parser.parse_args(argv))


@pytest.mark.parametrize(
    ("command", "option", "default"),
    [
        (command, option, default)
        for command, options in OPTIONS.items()
        for option, default in options.items()
    ],
)
def test_the_asked_for_option_has_the_asked_for_default(
    command: str, option: str, default: object
) -> None:
    name = option.removeprefix("--").replace("-", "_")
    assert _parsed(command)[name] == default
    other = "cuda" if option == "--device" else "7"
    assert str(_parsed(command, option, other)[name]) in {other, f"{other}.0"}


def test_the_asked_for_command_lines_are_understood() -> None:
    asked = _parsed("train_model", "--epochs", "50", "--batch-size", "256")
    assert (asked["epochs"], asked["batch_size"]) == (50, 256)
    line = "--users 200 --epreuves 150 --interactions 15000".split()
    made = _parsed("generate_data", *line)
    assert (made["users"], made["epreuves"], made["interactions"]) == (200, 150, 15000)


@pytest.mark.parametrize("command", DJANGO_COMMANDS)
def test_the_asked_for_command_of_django_is_there(command: str) -> None:
    assert _parsed(command)


def test_createsuperuser_makes_an_administrator(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "un-mot-de-passe-solide")
    call_command("createsuperuser", interactive=False, username="chef", email="", stdout=StringIO())
    assert User.objects.get(username="chef").role == Role.ADMINISTRATEUR


@pytest.mark.parametrize("script", ["test_api.py", "generate_synthetic_data.py"])
def test_the_asked_for_script_starts(script: str) -> None:
    helped = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert helped.returncode == 0
    assert helped.stdout.startswith("usage: ")


@pytest.mark.parametrize("script", ["setup.sh", "manage.py"])
def test_the_asked_for_program_is_executable(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


# --- Endpoints -----------------------------------------------------------------------------

Bank = tuple[User, Epreuve]


@pytest.fixture
def bank(db: None) -> Bank:
    """etudiant1 of the request, and three épreuves with files."""
    student = UserFactory(username="etudiant1", password="password123")
    first, *_ = [with_file(EpreuveFactory()) for _ in range(3)]
    return student, first


@pytest.fixture
def signed_in(bank: Bank) -> APIClient:
    """A client with a token taken as the request takes it."""
    client = APIClient()
    answer = client.post("/api/token/", {"username": "etudiant1", "password": "password123"})
    assert answer.status_code == 200
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['access']}")
    return client


def test_a_token_is_had_with_name_and_password(bank: Bank) -> None:
    body = {"username": "etudiant1", "password": "password123"}
    assert set(APIClient().post("/api/token/", body).json()) >= {"access", "refresh"}


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/api/recommendations/personalized/?top_k=10", "recommendations"),
        ("/api/recommendations/personalized/?top_k=5", "recommendations"),
        ("/api/recommendations/similar/?epreuve_id={id}&top_k=10", "recommendations"),
        ("/api/recommendations/status/", "statut"),
        ("/api/recommendations/stats/", "interactions_par_type"),
        ("/api/epreuves/", "results"),
        ("/api/epreuves/{id}/", "titre"),
        ("/api/epreuves/populaires/", "results"),
        ("/api/epreuves/recentes/", "results"),
    ],
)
def test_the_asked_for_path_answers(bank: Bank, signed_in: APIClient, path: str, key: str) -> None:
    answer = signed_in.get(path.format(id=bank[1].pk))
    assert answer.status_code == 200
    assert key in answer.json()


@pytest.mark.parametrize("path", ["/api/epreuves/", "/api/epreuves/{id}/"])
def test_the_asked_for_catalogue_is_read_without_a_token(bank: Bank, path: str) -> None:
    assert APIClient().get(path.format(id=bank[1].pk)).status_code == 200


@pytest.mark.parametrize("name", ["personalized", "similar", "status", "stats"])
def test_recommendations_ask_for_a_token(bank: Bank, name: str) -> None:
    answer = APIClient().get(f"/api/recommendations/{name}/?epreuve_id={bank[1].pk}")
    assert answer.status_code == 401


def test_top_k_counts_the_recommendations_and_is_ten_by_default(
    bank: Bank, signed_in: APIClient
) -> None:
    EpreuveFactory.create_batch(12)
    for query, count in (("", 10), ("?top_k=2", 2), ("?top_k=10", 10)):
        answer = signed_in.get(f"/api/recommendations/personalized/{query}").json()
        assert len(answer["recommendations"]) == answer["count"] == count


def test_seen_epreuves_are_left_out_unless_exclude_seen_is_false(
    bank: Bank, signed_in: APIClient
) -> None:
    number = bank[1].pk
    assert signed_in.post(f"/api/epreuves/{number}/view/").status_code == 201

    def recommended(query: str) -> set[int]:
        answer = signed_in.get(f"/api/recommendations/personalized/{query}").json()
        return {row["epreuve"]["id"] for row in answer["recommendations"]}

    assert number not in recommended("")
    assert number not in recommended("?exclude_seen=true")
    assert number in recommended("?exclude_seen=false")


def test_a_view_and_a_download_are_posted(bank: Bank, signed_in: APIClient) -> None:
    number = bank[1].pk
    assert signed_in.post(f"/api/epreuves/{number}/view/").status_code == 201
    answer = signed_in.post(f"/api/epreuves/{number}/download/")
    assert answer.status_code == 200
    pdf = signed_in.get(answer.json()["url"])
    assert b"".join(pdf.streaming_content).startswith(b"%PDF-")  # type: ignore[attr-defined]


def test_an_evaluation_has_the_asked_for_fields(bank: Bank, signed_in: APIClient) -> None:
    body = {"epreuve": bank[1].pk, "note_difficulte": 4, "note_pertinence": 5}
    answer = signed_in.post("/api/evaluations/", body)
    assert answer.status_code == 201
    assert answer.json().items() >= body.items()


def test_a_comment_has_the_asked_for_fields(bank: Bank, signed_in: APIClient) -> None:
    body = {"epreuve": bank[1].pk, "contenu": "Très bonne épreuve!"}
    answer = signed_in.post("/api/commentaires/", body)
    assert answer.status_code == 201
    assert answer.json().items() >= body.items()


@pytest.mark.parametrize("path", ["/api/docs/", "/admin/login/"])
def test_the_asked_for_page_opens(db: None, path: str) -> None:
    assert APIClient().get(path).status_code == 200


@pytest.mark.parametrize("path", ["/api/docs/", "/admin/", "/api/token/"])
def test_the_asked_for_page_is_routed(path: str) -> None:
    assert resolve(path).route


# --- README ----------------------------------------------------------------------------------

SECTIONS = """
# API Banque d'épreuves IMSP
## Architecture
## Structure du projet
## Installation
### 1. Cloner le projet
### 2. Exécuter le script d'installation
### 3. Configuration
### 4. Démarrer PostgreSQL et Redis
### 5. Créer la base de données
### 6. Créer un superutilisateur
## Utilisation
### 1. Générer des données de test
### 2. Entraîner le modèle de recommandation
### 3. Lancer le serveur
## Endpoints API
### Authentification
### Recommandations personnalisées
### Épreuves similaires
### Statut du modèle
### Statistiques
### Gestion des épreuves
### Évaluations et commentaires
## Architecture du système de recommandation
### Modèle NCF (Neural Collaborative Filtering)
### Pipeline d'entraînement
### Fichiers clés
## Tests
### Tester les endpoints API
### Tests avec curl
## Performances
### Optimisations
## Production
### Configuration pour la production
### Monitoring
## Contribuer
## License
## Support
## Commandes utiles
## Workflow de développement
""".strip().splitlines()

COMMANDS = """
./setup.sh
cp .env.example .env
docker-compose up -d
source venv/bin/activate
python manage.py migrate
python manage.py createsuperuser
python manage.py generate_data --users 200 --epreuves 150 --interactions 15000
python manage.py train_model --epochs 50 --batch-size 256
python manage.py runserver
python scripts/test_api.py
python manage.py collectstatic
gunicorn config.wsgi:application --bind 0.0.0.0:8000
python manage.py makemigrations
python manage.py test
python scripts/generate_synthetic_data.py
python manage.py shell
docker-compose down
""".strip().splitlines()


@pytest.fixture(scope="module")
def readme() -> list[str]:
    return (ROOT / "README.md").read_text(encoding="utf-8").splitlines()


def test_the_readme_has_the_asked_for_sections_in_their_order(readme: list[str]) -> None:
    assert [line for line in readme if line in SECTIONS] == SECTIONS


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_gives_the_asked_for_command(readme: list[str], command: str) -> None:
    assert command in readme


@pytest.mark.parametrize("option", list(OPTIONS["train_model"]))
def test_the_readme_explains_the_option(readme: list[str], option: str) -> None:
    assert any(line.startswith(f"- `{option}`") for line in readme)
