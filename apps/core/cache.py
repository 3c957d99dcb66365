"""Redis may be dead or frozen; an answer may be neither."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.core.cache import cache
from redis import exceptions
from redis.connection import Connection, ConnectionInterface, ConnectionPool

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5
# What takes that long to make is kept SHARE times as long: a twentieth of a core goes to it.
SLOW_SECONDS, SHARE = 1.0, 20

T = TypeVar("T")


class RedisAway(exceptions.ConnectionError):
    """Refused without asking: the last call failed a moment ago."""


class IgnoredAnswers(logging.Filter):
    """Of what django-redis ignores, the breaker has said the absences; the rest is one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != "django_redis.cache" or not record.exc_info:
            return True
        failure = getattr(record.exc_info[1], "__cause__", None)
        if isinstance(failure, (exceptions.ConnectionError, exceptions.TimeoutError)):
            return False
        record.msg, record.args, record.exc_info = "Redis a refusé : %s", (failure,), None
        return True


class BreakerPool(ConnectionPool):
    """After one failure no thread of the process calls Redis for a while; then one tries."""

    def reset(self) -> None:
        """Also runs in a child after a fork, which must inherit no lock that is held."""
        super().reset()
        self._breaker = threading.Lock()
        self._retry_at: float | None = None

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Connection:
        self._checkpid()
        if self._retry_at is not None:
            self._take_the_one_try()
        return super().get_connection()

    def release(self, connection: ConnectionInterface) -> None:
        """Where every call ends, and a failed one without its socket."""
        if not connection.is_connected:
            self._open(sys.exception())
        elif self._retry_at is not None:
            self._close()
        super().release(connection)  # type: ignore[arg-type]

    def _take_the_one_try(self) -> None:
        with self._breaker:
            if self._retry_at is None:
                return
            if time.monotonic() < self._retry_at:
                raise RedisAway
            self._retry_at = time.monotonic() + PAUSE_SECONDS

    def _open(self, failure: BaseException | None) -> None:
        with self._breaker:
            is_new = self._retry_at is None
            self._retry_at = time.monotonic() + PAUSE_SECONDS
        if is_new:
            logger.warning("Redis ne répond pas, on s'en passe : %s", failure)

    def _close(self) -> None:
        with self._breaker:
            was_open, self._retry_at = self._retry_at is not None, None
        if was_open:
            logger.info("Redis répond de nouveau.")


def cache_answers() -> bool:
    """Write and read back: django-redis swallows the errors of a Redis that is away."""
    cache.set("sonde", True, 10)
    return cache.get("sonde") is not None


def kept_at_its_price(key: str, make: Callable[[], T]) -> T:
    """What `make` gives. What was slow is kept; one renews it while the others show the last."""
    kept: tuple[T, float, float] | None = cache.get(key)
    if kept is not None:
        last, due, seconds = kept
        if time.time() < due or not cache.add(f"{key}:en_cours", True, 2 * seconds):
            return last
    start = time.monotonic()
    made = make()
    seconds = time.monotonic() - start
    if seconds >= SLOW_SECONDS:
        cache.set(key, (made, time.time() + SHARE * seconds, seconds), 2 * SHARE * seconds)
    return made
