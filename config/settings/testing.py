"""The suite: never reads .env; PostgreSQL and Redis where the environment names them."""

import os
import tempfile
from pathlib import Path

from config.settings.base import *  # noqa: F403
from config.settings.base import (
    CACHES,
    DATABASES,
    DB_HOST,
    REDIS_URL,
    REST_FRAMEWORK,
    SIMPLE_JWT,
    STORAGES,
)

SECRET_KEY = "for-tests-only-" + "0123456789abcdef" * 4
JWT_SECRET_KEY = "for-tests-only-jwt-" + "fedcba9876543210" * 4
SIMPLE_JWT["SIGNING_KEY"] = JWT_SECRET_KEY
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
CORS_ALLOWED_ORIGINS = ["http://localhost:3000"]

_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
if REDIS_URL:
    CACHES["default"]["KEY_PREFIX"] = f"test-{os.getpid()}-{_worker}"
    # A busy test machine is slow; it must not look like a dead Redis.
    CACHES["default"]["OPTIONS"] |= {"SOCKET_CONNECT_TIMEOUT": 5, "SOCKET_TIMEOUT": 5}
# Gone with the process, with all that SQLite leaves beside its file.
_folder = tempfile.TemporaryDirectory(prefix="banque-tests-", ignore_cleanup_errors=True)
if not DB_HOST:
    # A file, as in use: in memory, threads lock each other out at once.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(_folder.name) / "db.sqlite3")}

# Fast and weak on purpose: the suite logs in hundreds of times.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = dict.fromkeys(
    "anon user ecriture export oubli oubli_adresse paquet inscription".split(), "100000/min"
)

# conftest gives each test a folder of its own; these only keep a forgotten one out of the tree.
MEDIA_ROOT = Path(_folder.name) / "media"
ML_MODELS_DIR = Path(_folder.name) / "ml_models"
ENTRAINEMENTS_DIR = Path(_folder.name) / "entrainements"
# A test that wants a bucket starts one of its own.
STORAGES.pop("modeles", None)
MODELE_VERIFICATION_SECONDES = 0
WHITENOISE_AUTOREFRESH = True
# On both databases; a test that wants the queue asks for it.
TACHES_EN_ARRIERE_PLAN = False
TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}
TEST_RUNNER = "config.test_runner.PytestRunner"
