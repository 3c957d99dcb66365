"""What every environment shares. Values come from the environment through config.env."""

from datetime import timedelta
from typing import Any

from corsheaders.defaults import default_headers
from django.templatetags.static import static

from config import buckets, env, logs

BASE_DIR = env.BASE_DIR

DEBUG = False
SECRET_KEY = env.text("SECRET_KEY", "")
JWT_SECRET_KEY = env.text("JWT_SECRET_KEY", "")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt",
    "rest_framework_simplejwt.token_blacklist",
    "drf_standardized_errors",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "config.apps.Axes",
    "django_tasks",
    "django_tasks_db",
    "apps.core",
    "apps.comptes",
    "apps.recommender",
    "apps.paquets",
]

MIDDLEWARE = [
    "apps.core.middleware.RequestIdMiddleware",
    "apps.core.middleware.ApiTimeMiddleware",
    "apps.core.middleware.ImpossibleValueMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "apps.core.bandwidth.CompressionMiddleware",
    "apps.core.bandwidth.ApiCacheMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database: PostgreSQL as soon as DB_HOST names one, SQLite otherwise -----------------

DB_HOST = env.text("DB_HOST", "")
if DB_HOST:
    _database: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": DB_HOST,
        "PORT": env.integer("DB_PORT", 5432),
        "NAME": env.text("DB_NAME", "banque_epreuves"),
        "USER": env.text("DB_USER", "banque_epreuves"),
        "PASSWORD": env.text("DB_PASSWORD", ""),
        # Compiling a query of ours takes longer than running it (popularity: 560 ms, or 130).
        "OPTIONS": {"connect_timeout": 5, "options": "-c jit=off"},
    }
else:
    SQLITE_PATH = env.path("SQLITE_PATH", BASE_DIR / "data" / "db.sqlite3")
    if not SQLITE_PATH.parent.is_dir():
        raise env.SettingRefused(f"SQLITE_PATH : créez d'abord le dossier {SQLITE_PATH.parent}.")
    _database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": SQLITE_PATH,
        "OPTIONS": {
            # Deferred transactions fail with "database is locked" when two upgrade to a write.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
DATABASES = {"default": _database | {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache: Redis as soon as REDIS_URL names one, local memory otherwise -----------------

REDIS_URL = env.url("REDIS_URL", "redis", "rediss", "unix")
if REDIS_URL:
    CACHES: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": env.text("CACHE_KEY_PREFIX", "banque"),
            "OPTIONS": {
                # A cache may be slow or away; an answer may not.
                "IGNORE_EXCEPTIONS": True,
                "SOCKET_CONNECT_TIMEOUT": 0.1,
                "SOCKET_TIMEOUT": 0.1,
                "CONNECTION_POOL_CLASS": "apps.core.cache.BreakerPool",
                "CONNECTION_POOL_KWARGS": {"retry": None},
            },
        }
    }
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "OPTIONS": {"MAX_ENTRIES": 10_000},
        }
    }
# What a process keeps for itself, not to ask Redis: see recommendations.remembered.
CACHES["processus"] = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "LOCATION": "processus",
    "OPTIONS": {"MAX_ENTRIES": 1000},
}
DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS = True

# --- People ------------------------------------------------------------------------------

AUTH_USER_MODEL = "core.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "apps.comptes.passwords.Argon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": name}
    for name in (
        "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "django.contrib.auth.password_validation.MinimumLengthValidator",
        "django.contrib.auth.password_validation.CommonPasswordValidator",
        "django.contrib.auth.password_validation.NumericPasswordValidator",
        "apps.comptes.passwords.MaximumLength",
        "apps.comptes.passwords.Change",
    )
]

# Behind one address sits a whole campus: a lock names the account as well, never an address alone.
NUM_PROXIES = env.integer("NUM_PROXIES", 0)
AXES_FAILURE_LIMIT = env.integer("LOGIN_FAILURE_LIMIT", 5, minimum=1)
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_CALLABLE = "apps.comptes.login.attempted_username"
AXES_CLIENT_IP_CALLABLE = "apps.comptes.addresses.client_address"
AXES_LOCKOUT_CALLABLE = "apps.comptes.login.locked_out"
CSRF_FAILURE_VIEW = "apps.core.errors.csrf_failure"
AXES_SENSITIVE_PARAMETERS = ["username", "password"]
AXES_VERBOSE = False

# A forgotten password: a link by e-mail where a server is named, else from an administrator.
PASSWORD_RESET_TIMEOUT = env.integer("PASSWORD_RESET_TIMEOUT", 86_400, minimum=3600)
_email = env.email("EMAIL_URL")
globals().update(_email)
COURRIEL = bool(_email)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "banque-epreuves@localhost")

# --- API ---------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.comptes.tokens.Authentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.core.parsers.JSONParser"],
    # OPTIONS is for CORS, which the middleware answers; `format` is no parameter of ours.
    "DEFAULT_METADATA_CLASS": None,
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_PAGINATION_CLASS": "apps.core.pagination.Pagination",
    "DEFAULT_SCHEMA_CLASS": "apps.core.schema.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "apps.core.throttles.AccountThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "anon": env.rate("THROTTLE_ANON", "3000/min"),
        "user": env.rate("THROTTLE_USER", "600/min"),
        "ecriture": env.rate("THROTTLE_ECRITURE", "30/min"),
        "export": env.rate("THROTTLE_EXPORT", "10/hour"),
        "oubli": env.rate("THROTTLE_OUBLI", "5/hour"),
        "oubli_adresse": env.rate("THROTTLE_OUBLI_ADRESSE", "300/min"),
        "paquet": env.rate("THROTTLE_PAQUET", "20/hour"),
        "inscription": env.rate("THROTTLE_INSCRIPTION", "600/hour"),
    },
    "EXCEPTION_HANDLER": "apps.core.errors.exception_handler",
    "NUM_PROXIES": NUM_PROXIES,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "apps.core.errors.ExceptionHandler",
    "ALLOWED_ERROR_STATUS_CODES": [
        *("400", "401", "403", "404", "405", "406", "415", "429", "500", "503")
    ],
    "EXCEPTION_FORMATTER_CLASS": "apps.core.errors.ExceptionFormatter",
    "ENABLE_IN_DEBUG_FOR_UNHANDLED_EXCEPTIONS": False,
}

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env.integer("JWT_ACCESS_MINUTES", 15, minimum=1)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=env.integer("JWT_REFRESH_DAYS", 7, minimum=1)),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "UPDATE_LAST_LOGIN": True,
    "ALGORITHM": "HS256",
    "AUTH_TOKEN_CLASSES": ["apps.comptes.tokens.AccessToken"],
    "SIGNING_KEY": JWT_SECRET_KEY,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "API Banque d'épreuves IMSP",
    "DESCRIPTION": (
        "Chercher, consulter, télécharger, noter et commenter des épreuves, et se faire "
        "recommander celles qui comptent. Obtenez un jeton par `POST /api/token/`, puis "
        "envoyez `Authorization: Bearer <access>`."
    ),
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.core.schema.without_docstrings",
    ],
    "ENUM_NAME_OVERRIDES": {
        "StatutEnum": "apps.core.models.Statut",
        "StatutCommentaireEnum": "apps.core.models.StatutCommentaire",
        "StatutEntrainementEnum": "apps.recommender.models.StatutEntrainement",
        "DeclencheurEnum": "apps.recommender.models.Declencheur",
        "DeclencheurActivationEnum": "apps.recommender.models.DeclencheurActivation",
    },
}

CORS_ALLOWED_ORIGINS = env.words("CORS_ALLOWED_ORIGINS")
CORS_URLS_REGEX = r"^/api/.*$"
# To resume a download, and not to repeat one.
CORS_ALLOW_HEADERS = [*default_headers, "if-none-match", "if-range", "range"]
CORS_EXPOSE_HEADERS = ["ETag", "Content-Range", "Retry-After", "X-Request-ID"]

# --- Product -----------------------------------------------------------------------------

INSCRIPTION_OUVERTE = env.boolean("INSCRIPTION_OUVERTE", False)
CATALOGUE_PUBLIC = env.boolean("CATALOGUE_PUBLIC", True)
# How long a browser or a proxy may show the public catalogue before it asks again.
CATALOGUE_CACHE_SECONDES = env.integer("CATALOGUE_CACHE_SECONDES", 60)
TAILLE_MAX_OCTETS = env.integer("TAILLE_MAX_MO", 20, minimum=1) * 1024 * 1024
# The ZIP of PDFs of the administration's import; unpacked it may be twice as large.
IMPORT_ARCHIVE_MAX_OCTETS = env.integer("IMPORT_ARCHIVE_MAX_MO", 100, minimum=1) * 1024 * 1024
# As many different people hide a comment until a moderator has looked.
SIGNALEMENTS_MASQUAGE = env.integer("SIGNALEMENTS_MASQUAGE", 3, minimum=1)
LIEN_DUREE_SECONDES = env.integer("LIEN_DUREE_SECONDES", 600, minimum=1)
# At most 4000: a ZIP counts in 32 bits. On a slow line it takes days, which its link outlives.
PAQUET_MAX_OCTETS = env.integer("PAQUET_MAX_MO", 100, minimum=1, maximum=4000) * 1_000_000
PAQUET_DUREE_SECONDES = env.integer("PAQUET_DUREE_SECONDES", 7 * 86_400, minimum=3600)
# Where nginx keeps MEDIA_ROOT for itself (X-Accel-Redirect); empty: Django sends the files.
ACCEL_PREFIXE = env.matching("ACCEL_PREFIXE", "", "(/.*/)?", "un chemin comme /fichiers-internes/")
RECOMMANDATIONS_CACHE_SECONDES = env.integer("RECOMMANDATIONS_CACHE_SECONDES", 3600)
# How long it is known who was shown what; the statistics of clicks go back as far.
JOURNAL_REPONSES_JOURS = env.integer("JOURNAL_REPONSES_JOURS", 90, minimum=1)
# How long a process may go on with the model it has before it asks the database for another.
MODELE_VERIFICATION_SECONDES = env.integer("MODELE_VERIFICATION_SECONDES", 1)
# Torch's threads in training: at usual batch sizes a second one waits more than it helps.
ENTRAINEMENT_FILS = env.integer("ENTRAINEMENT_FILS", 1, minimum=1)
ML_MODELS_DIR = env.path("ML_MODELS_DIR", BASE_DIR / "ml_models")
# What a training reads: written at its start, removed at its end.
ENTRAINEMENTS_DIR = env.path("ENTRAINEMENTS_DIR", BASE_DIR / "data" / "processed")
# NDCG@10 that a new model may lose to the active one; ADR 115 has the figures.
MODELE_MARGE_NDCG = env.share("MODELE_MARGE_NDCG", 0.03)
# The newest ones, beside the active and the previous, whose files pruning leaves.
MODELES_GARDES = env.integer("MODELES_GARDES", 5)

# --- Background work: rows that `db_worker` takes, or done at once where there is no worker --

TACHES_EN_ARRIERE_PLAN = env.boolean("TACHES_EN_ARRIERE_PLAN", bool(DB_HOST))
_queue = "django_tasks_db.DatabaseBackend"
_in_place = "django_tasks.backends.immediate.ImmediateBackend"
TASKS = {"default": {"BACKEND": _queue if TACHES_EN_ARRIERE_PLAN else _in_place}}

# --- Files -------------------------------------------------------------------------------

STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Where several machines share the models, of which ML_MODELS_DIR is then a copy: model_files.
if _bucket := buckets.named("modeles"):
    STORAGES["modeles"] = _bucket
# Nothing serves MEDIA_ROOT: a PDF leaves through a signed, short-lived URL only.
MEDIA_ROOT = env.path("MEDIA_ROOT", BASE_DIR / "media")
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "apps.core.uploads.LimitedTemporaryFile",
]
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "config" / "static"]
STATIC_ROOT = env.path("STATIC_ROOT", BASE_DIR / "staticfiles")
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Words and time ----------------------------------------------------------------------

LANGUAGE_CODE = "fr"
LANGUAGES = [("fr", "Français")]  # whatever the browser prefers: half of each reads badly
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
TIME_ZONE = "Africa/Porto-Novo"
USE_TZ = True

UNFOLD = {
    "SITE_TITLE": "Banque d'épreuves IMSP",
    "SITE_HEADER": "Banque d'épreuves IMSP",
    "SITE_URL": "/api/docs/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("favicon.svg")}
    ],
    "STYLES": [lambda request: static("admin.css")],
    "SCRIPTS": [lambda request: static("admin.js")],
    "LOGIN": {"form": "apps.comptes.login.LoginForm"},
    "SHOW_LANGUAGES": False,
    "DASHBOARD_CALLBACK": "apps.recommender.admin_home.dashboard",
}

LOGGING = logs.configuration("ligne")
# What Prometheus shows to read /metrics; empty: there is no such page.
METRIQUES_JETON = env.text("METRIQUES_JETON", "")
