"""What was served, counted by all processes together in the shared cache, a hash a day."""

import datetime as dt
import logging
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock

from django.conf import settings
from django.core.cache import cache
from django_redis import get_redis_connection
from prometheus_client import Counter as Metric
from redis import exceptions

logger = logging.getLogger(__name__)

KEPT_DAYS = 90
FORMAT = 1
# Source and, after a stroke, why the model did not answer alone | cached | latency | version.
_FIELD = re.compile(r"([a-z]+)(?:/([a-z_]+))?\|([01])\|([0-9]{1,3})\|(.*)")
# A latency is kept as its power of 2**(1/4) above the smallest: right within 9 %.
_SMALLEST, _STEPS = 1e-4, 4

_SERVED = Metric(
    "banque_recommandations", "Réponses, par source et selon le cache.", ["source", "cache"]
)
_FELL_BACK = Metric(
    "banque_replis", "Réponses que le modèle n'a pas remplies seul, par raison.", ["raison"]
)
_local = Lock()


@dataclass
class Served:
    """What was answered in a number of days."""

    by_source: Counter[str] = field(default_factory=Counter)
    by_version: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    latencies: Counter[int] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        return self.by_source.total()

    def milliseconds(self, share: float) -> float | None:
        """The latency that this share of the answers did not pass."""
        rank, passed = math.ceil(share * self.latencies.total()), 0
        for bucket, count in sorted(self.latencies.items()):
            passed += count
            if passed >= rank:
                return round(_SMALLEST * 2 ** ((bucket + 0.5) / _STEPS) * 1000, 3)
        return None

    def add(self, name: str, count: int) -> None:
        if not (field_of_ours := _FIELD.fullmatch(name)):
            return
        source, repli, cached, bucket, version = field_of_ours.groups()
        self.by_source[source] += count
        if repli:
            self.by_reason[repli] += count
        self.by_version[version] += count
        self.cached += count * int(cached)
        self.latencies[int(bucket)] += count


def record(
    *,
    source: str | None,
    version: str | None,
    cached: bool,
    seconds: float,
    repli: str | None = None,
) -> None:
    """One round trip, and none while Redis is away: what was served then is not counted."""
    source = source or "aucune"
    _SERVED.labels(source, "oui" if cached else "non").inc()
    if repli:
        _FELL_BACK.labels(repli).inc()
        source = f"{source}/{repli}"
    bucket = max(0, math.floor(_STEPS * math.log2(max(seconds, _SMALLEST) / _SMALLEST)))
    count = _count_in_redis if settings.REDIS_URL else _count_here
    count(_key(_today()), f"{source}|{cached:d}|{bucket}|{version or ''}")


def served(days: int) -> Served | None:
    """Of today and the days before it; None where Redis does not say."""
    keys = [_key(_today() - dt.timedelta(days=n)) for n in range(min(days, KEPT_DAYS))]
    read = _read_from_redis if settings.REDIS_URL else _read_here
    hashes = read(keys)
    if hashes is None:
        return None
    total = Served()
    for counts in hashes:
        for name, count in counts.items():
            total.add(name, count)
    return total


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def _key(day: dt.date) -> str:
    return f"telemetrie:{FORMAT}:{day}"


def _count_in_redis(key: str, name: str) -> None:
    key = cache.make_key(key)
    try:
        redis = get_redis_connection()
        if redis.hincrby(key, name, 1) == 1:  # The hash, or this in it, is new.
            redis.expire(key, dt.timedelta(days=KEPT_DAYS))
    except exceptions.RedisError as failure:
        _say(failure)


def _read_from_redis(keys: Iterable[str]) -> list[dict[str, int]] | None:
    try:
        pipeline = get_redis_connection().pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(cache.make_key(key))
        hashes = pipeline.execute()
    except exceptions.RedisError as failure:
        _say(failure)
        return None
    return [
        {name.decode(errors="replace"): int(count) for name, count in found.items()}
        for found in hashes
    ]


def _say(failure: exceptions.RedisError) -> None:
    """The breaker has said that Redis is away."""
    if not isinstance(failure, (exceptions.ConnectionError, exceptions.TimeoutError)):
        logger.warning("Redis a refusé : %s", failure)


def _count_here(key: str, name: str) -> None:
    """Local memory is of one process: so are its counts."""
    with _local:
        counts: Counter[str] = cache.get(key, Counter())
        counts[name] += 1
        cache.set(key, counts, KEPT_DAYS * 86_400)


def _read_here(keys: Iterable[str]) -> list[dict[str, int]]:
    return list(cache.get_many(keys).values())
