"""A person's own machine: DEBUG, embedded defaults, secrets from .env."""

from config import env

env.read_dotenv()

from config.settings.base import *  # noqa: E402, F403

DEBUG = True
SECRET_KEY = env.text("SECRET_KEY")
JWT_SECRET_KEY = env.text("JWT_SECRET_KEY")
SIMPLE_JWT["SIGNING_KEY"] = JWT_SECRET_KEY  # noqa: F405
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CORS_ALLOWED_ORIGINS = env.words(
    "CORS_ALLOWED_ORIGINS", "http://localhost:3000,http://localhost:5173"
)
WHITENOISE_USE_FINDERS = True
