"""How a process logs: one console, lines for people or JSON for programs."""

from typing import Any

from config import env


def configuration(default_format: str) -> dict[str, Any]:
    """For the settings, and for gunicorn's own process, which knows no settings."""
    log_format = env.matching("LOG_FORMAT", default_format, "ligne|json", "ligne ou json")
    level = env.matching(
        "LOG_LEVEL",
        "INFO",
        "DEBUG|INFO|WARNING|ERROR|CRITICAL",
        "DEBUG, INFO, WARNING, ERROR ou CRITICAL",
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "ligne": {
                "()": "apps.core.logs.Line",
                "format": "{asctime} {levelname} {name} [{request_id}] {message}",
                "style": "{",
            },
            "json": {"()": "apps.core.logs.Json"},
        },
        "filters": {
            "request_id": {"()": "apps.core.logs.RequestId"},
            "only_traces": {"()": "apps.core.logs.OnlyTraces"},
            "redis": {"()": "apps.core.cache.IgnoredAnswers"},
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": log_format,
                # Here, not on the loggers: a process is configured more than once, and a logger
                # keeps the filters it had.
                "filters": ["request_id", "only_traces", "redis"],
            }
        },
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # Django and gunicorn come with handlers of their own: naming a logger takes them away.
            "django": {"level": "INFO"},
            "django.server": {"level": "CRITICAL"},
            # Whoever looks for holes names another host: a 400 says enough.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "gunicorn.error": {"propagate": True},
            "axes": {"level": "WARNING"},
        },
    }
