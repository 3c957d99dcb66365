"""A server that people rely on. Refuses to start on a weak setting and names the variable."""

from whitenoise.compress import Compressor

from config import env, logs

env.read_dotenv()

from config.settings.base import *  # noqa: E402, F403
from config.settings.base import (  # noqa: E402
    ALLOWED_HOSTS,
    COURRIEL,
    DB_HOST,
    DEFAULT_FROM_EMAIL,
    JWT_SECRET_KEY,
    METRIQUES_JETON,
    REDIS_URL,
    SECRET_KEY,
    STORAGES,
)


def _refuse(variable: str, reason: str) -> None:
    raise env.SettingRefused(f"Production refusée : {variable} {reason}.")


if env.boolean("DEBUG", False):
    _refuse("DEBUG", "doit valoir False")
for _name, _secret in (("SECRET_KEY", SECRET_KEY), ("JWT_SECRET_KEY", JWT_SECRET_KEY)):
    if not _secret:
        _refuse(_name, "est absente")
    if len(_secret) < 50 or len(set(_secret)) < 5:
        _refuse(_name, "est trop faible : au moins 50 caractères aléatoires")
    if any(word in _secret.lower() for word in ("changez", "change-me", "insecure", "exemple")):
        _refuse(_name, "est la valeur d'exemple : générez-en une nouvelle")
if SECRET_KEY == JWT_SECRET_KEY:
    _refuse("JWT_SECRET_KEY", "doit différer de SECRET_KEY")
if not ALLOWED_HOSTS:
    _refuse("ALLOWED_HOSTS", "est vide : nommez votre domaine")
if "*" in ALLOWED_HOSTS:
    _refuse("ALLOWED_HOSTS", "ne peut pas contenir *")
if not DB_HOST:
    _refuse("DB_HOST", "est absente : SQLite est réservé au développement")
if not env.text("DB_PASSWORD", "") and not DB_HOST.startswith("/"):
    _refuse("DB_PASSWORD", "est absente")
if not REDIS_URL:
    _refuse("REDIS_URL", "est absente : la mémoire locale est réservée au développement")

if METRIQUES_JETON and len(METRIQUES_JETON) < 20:
    _refuse("METRIQUES_JETON", "est trop faible : au moins 20 caractères aléatoires")
if COURRIEL and DEFAULT_FROM_EMAIL.endswith("@localhost"):
    _refuse("DEFAULT_FROM_EMAIL", "doit être l'adresse qui envoie les courriels")

# Behind a proxy that ends TLS and overwrites these headers.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", True)
# Probes and Prometheus come past the proxy.
SECURE_REDIRECT_EXEMPT = [r"^api/sante/", r"^metrics$"]
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 31_536_000, minimum=1)
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

STORAGES["staticfiles"] = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}

LOGGING = logs.configuration("json")
# Half of all that there is to compress (46 s of it), and only a debugger asks for it.
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = [*Compressor.SKIP_COMPRESS_EXTENSIONS, "map"]
