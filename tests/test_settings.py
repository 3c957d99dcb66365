"""Each kind of settings, started for real in a process of its own."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Strong to look at, and the same in every process: pytest-xdist compares the names of tests.
SECRET, OTHER_SECRET = (hashlib.sha256(word).hexdigest() for word in (b"one", b"other"))
PRODUCTION = {
    "DEBUG": "False",
    "SECRET_KEY": SECRET,
    "JWT_SECRET_KEY": OTHER_SECRET,
    "ALLOWED_HOSTS": "banque.example",
    "DB_HOST": "127.0.0.1",
    "DB_PASSWORD": "un-mot-de-passe",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, so that a .env can be planted beside it."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("apps", "config"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", tree)
    (tree / "data").mkdir()
    return tree


@pytest.fixture
def dotenv(tree: Path) -> Path:
    path = tree / ".env"
    path.unlink(missing_ok=True)
    return path


def run(tree: Path, *argv: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in the tree with these variables and no other of ours."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, *argv],
        cwd=tree,
        env=kept | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


SHOW = "from django.conf import settings; print(settings.SETTINGS_MODULE, settings.DEBUG)"


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("DEBUG", "True", "DEBUG doit valoir False"),
        ("SECRET_KEY", "", "SECRET_KEY est absente"),
        ("SECRET_KEY", "court", "SECRET_KEY est trop faible"),
        ("SECRET_KEY", "ab" * 40, "SECRET_KEY est trop faible"),
        ("SECRET_KEY", "changez-moi-" + SECRET, "SECRET_KEY est la valeur d'exemple"),
        ("JWT_SECRET_KEY", "", "JWT_SECRET_KEY est absente"),
        ("JWT_SECRET_KEY", "court", "JWT_SECRET_KEY est trop faible"),
        ("JWT_SECRET_KEY", "django-insecure-" + SECRET, "JWT_SECRET_KEY est la valeur d'exemple"),
        ("JWT_SECRET_KEY", SECRET, "JWT_SECRET_KEY doit différer de SECRET_KEY"),
        ("ALLOWED_HOSTS", "", "ALLOWED_HOSTS est vide"),
        ("ALLOWED_HOSTS", "*", "ALLOWED_HOSTS ne peut pas contenir *"),
        ("METRIQUES_JETON", "court", "METRIQUES_JETON est trop faible"),
        ("DB_HOST", "", "DB_HOST est absente : SQLite"),
        ("DB_PASSWORD", "", "DB_PASSWORD est absente"),
        ("REDIS_URL", "", "REDIS_URL est absente : la mémoire locale"),
        ("EMAIL_URL", "smtp://mail.test:25", "DEFAULT_FROM_EMAIL doit être l'adresse"),
        ("SECURE_HSTS_SECONDS", "0", "SECURE_HSTS_SECONDS doit valoir au moins 1"),
        ("S3_ENDPOINT_URL", "https://s3.test", "S3_ENDPOINT_URL est donnée sans S3_BUCKET"),
        ("S3_BUCKET", "banque", "nommez son serveur (S3_ENDPOINT_URL) ou S3_REGION"),
    ],
)
def test_production_refuses_to_start_and_names_the_variable(
    tree: Path, dotenv: Path, variable: str, value: str, reason: str
) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings.production"}
    refused = run(tree, "manage.py", "check", **PRODUCTION | settings | {variable: value})
    assert refused.returncode == 1
    assert reason in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_mail_server_of_the_environment_is_the_one_that_django_sends_by(
    tree: Path, dotenv: Path
) -> None:
    mail = {"EMAIL_URL": "smtp+ssl://a:b@mail.test:465", "DEFAULT_FROM_EMAIL": "banque@imsp.test"}
    show = (
        "from django.core.mail import get_connection; c = get_connection();"
        "print(c.host, c.port, c.username, c.use_ssl, c.timeout)"
    )
    told = run(tree, "manage.py", "shell", "--no-imports", "-c", show, **PRODUCTION | mail)
    assert told.stdout.split() == ["mail.test", "465", "a", "True", "10"], told.stderr


def test_half_of_the_keys_of_a_bucket_is_refused_and_the_whole_names_it(
    tree: Path, dotenv: Path
) -> None:
    half = {"S3_BUCKET": "b", "S3_ENDPOINT_URL": "https://s3.test", "S3_ACCESS_KEY_ID": "qui"}
    show = (
        "from django.core.files.storage import storages; s = storages['modeles'];"
        "print(s.bucket_name, s.location, s.client_config.connect_timeout)"
    )
    asked = ("manage.py", "shell", "--no-imports", "-c", show)
    refused = run(tree, *asked, **PRODUCTION | half)
    assert "S3_ACCESS_KEY_ID et S3_SECRET_ACCESS_KEY, l'un avec l'autre" in refused.stderr
    told = run(tree, *asked, **PRODUCTION | half | {"S3_SECRET_ACCESS_KEY": "s"})
    assert told.stdout.split() == ["b", "banque/modeles", "2"], told.stderr


def test_wsgi_refuses_what_manage_refuses(tree: Path, dotenv: Path) -> None:
    refused = run(tree, "-c", "import config.wsgi", **PRODUCTION | {"SECRET_KEY": "court"})
    assert refused.returncode == 1
    assert "SECRET_KEY est trop faible" in refused.stderr


def test_the_deployment_check_of_production_is_clean(tree: Path, dotenv: Path) -> None:
    checked = run(tree, "manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


def test_debug_false_in_dotenv_chooses_production(tree: Path, dotenv: Path) -> None:
    dotenv.write_text("".join(f"{name}={value}\n" for name, value in PRODUCTION.items()))
    for argv in (
        ["manage.py", "shell", "--no-imports", "-c", SHOW],
        ["-c", f"import config.wsgi; {SHOW}"],
    ):
        assert run(tree, *argv).stdout.split() == ["config.settings.production", "False"]


def test_without_debug_in_dotenv_development_is_chosen(tree: Path, dotenv: Path) -> None:
    dotenv.write_text(f"SECRET_KEY={SECRET}\nJWT_SECRET_KEY={OTHER_SECRET}\n")
    for argv in (
        ["manage.py", "shell", "--no-imports", "-c", SHOW],
        ["-c", f"import config.wsgi; {SHOW}"],
    ):
        assert run(tree, *argv).stdout.split() == ["config.settings.development", "True"]


def test_a_named_settings_module_wins(tree: Path, dotenv: Path) -> None:
    named = {"DJANGO_SETTINGS_MODULE": "config.settings.testing"}
    shown = run(tree, "manage.py", "shell", "--no-imports", "-c", SHOW, **PRODUCTION | named)
    assert shown.stdout.split() == ["config.settings.testing", "False"]


def test_development_without_secrets_says_which(tree: Path, dotenv: Path) -> None:
    refused = run(tree, "manage.py", "check")
    assert refused.returncode == 1
    assert "SECRET_KEY est requise" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_debug_that_is_no_boolean_is_one_sentence(tree: Path, dotenv: Path) -> None:
    refused = run(tree, "manage.py", "check", DEBUG="presque")
    assert (refused.returncode, refused.stderr) == (
        1,
        "DEBUG doit valoir True ou False, pas « presque ».\n",
    )


def test_the_suite_never_reads_dotenv(tree: Path, dotenv: Path) -> None:
    dotenv.write_text("SECRET_KEY=planted\nDB_HOST=planted.invalid\nREDIS_URL=redis://planted\n")
    show = (
        "import django; django.setup(); from django.conf import settings as s;"
        "print(s.SECRET_KEY, s.DB_HOST, s.REDIS_URL, s.DATABASES, s.CACHES)"
    )
    shown = run(tree, "-c", show, DJANGO_SETTINGS_MODULE="config.settings.testing")
    assert shown.returncode == 0, shown.stderr
    assert "planted" not in shown.stdout
    assert "sqlite3" in shown.stdout
    assert "LocMemCache" in shown.stdout


def test_sqlite_writes_ahead_and_takes_the_lock_at_once(tree: Path, dotenv: Path) -> None:
    show = (
        "from django.db import connection as c\n"
        "print(c.cursor().execute('PRAGMA journal_mode').fetchone()[0],"
        " c.settings_dict['OPTIONS']['transaction_mode'], c.settings_dict['CONN_MAX_AGE'])"
    )
    shown = run(
        tree,
        "manage.py",
        "shell",
        "--no-imports",
        "-c",
        show,
        SECRET_KEY=SECRET,
        JWT_SECRET_KEY=SECRET,
    )
    assert shown.stdout.split() == ["wal", "IMMEDIATE", "600"], shown.stderr


def test_token_lifetimes_and_origins_are_those_of_the_design(tree: Path, dotenv: Path) -> None:
    show = (
        "from django.conf import settings as s\n"
        "j = s.SIMPLE_JWT\n"
        "print(j['ACCESS_TOKEN_LIFETIME'], j['REFRESH_TOKEN_LIFETIME'].days,"
        " j['ROTATE_REFRESH_TOKENS'], len(s.CORS_ALLOWED_ORIGINS))"
    )
    argv = ("manage.py", "shell", "--no-imports", "-c", show)
    assert run(tree, *argv, **PRODUCTION).stdout.split() == ["0:15:00", "7", "True", "0"]
    developer = {"SECRET_KEY": SECRET, "JWT_SECRET_KEY": SECRET}
    assert run(tree, *argv, **developer).stdout.split() == ["0:15:00", "7", "True", "2"]
