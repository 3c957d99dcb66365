"""The settings of a server being measured: the real ones, and two views beside the product's."""

from config import env

env.read_dotenv()

if env.boolean("DEBUG", True):
    from config.settings.development import *  # noqa: F403
    from config.settings.development import MIDDLEWARE
else:
    from config.settings.production import *  # noqa: F403
    from config.settings.production import MIDDLEWARE

ROOT_URLCONF = "benchmarks.serving_urls"
MIDDLEWARE = ["benchmarks.serving_urls.QueryCount", *MIDDLEWARE]
