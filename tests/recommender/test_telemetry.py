import datetime as dt

import pytest
from django.core.cache import cache
from prometheus_client import REGISTRY

from apps.recommender import telemetry
from apps.recommender.telemetry import record, served
from tests.conftest import REDIS_OPTIONS

BACKENDS = ["memoire", pytest.param("redis", marks=pytest.mark.requires("redis-server"))]


@pytest.fixture
def redis(redis_server, settings):
    settings.REDIS_URL = redis_server.url
    settings.CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": redis_server.url,
            "OPTIONS": REDIS_OPTIONS,
        }
    }
    yield redis_server
    cache.client.get_client().connection_pool.disconnect()


@pytest.fixture(params=BACKENDS)
def backend(request, settings):
    if request.param == "redis":
        return request.getfixturevalue("redis")
    settings.REDIS_URL = ""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    return None


@pytest.fixture
def today(monkeypatch):
    """A day that passes when told to."""

    def it_is(day: str) -> None:
        monkeypatch.setattr(telemetry, "_today", lambda: dt.date.fromisoformat(day))

    it_is("2026-03-02")
    return it_is


def answered(source="ncf", version="v1", cached=False, seconds=0.01, repli=None):
    record(source=source, version=version, cached=cached, seconds=seconds, repli=repli)


def test_what_was_served_is_counted_by_source_version_and_cache(backend):
    answered()
    answered(cached=True)
    answered(cached=True, version="v2|beta")
    answered("profil", None)
    answered(None, None)
    total = served(1)
    assert total.by_source == {"ncf": 3, "profil": 1, "aucune": 1}
    assert total.by_version == {"v1": 2, "v2|beta": 1, "": 2}
    assert (total.requests, total.cached) == (5, 2)


def test_why_an_answer_fell_back_is_counted_beside_its_source(backend):
    answered()
    answered("profil", "v2|beta", repli="sans_historique")
    answered(None, None, repli="aucun_modele")
    total = served(1)
    assert total.by_reason == {"sans_historique": 1, "aucun_modele": 1}
    assert total.by_source == {"ncf": 1, "profil": 1, "aucune": 1}
    assert total.by_version == {"v1": 1, "v2|beta": 1, "": 1}


def test_prometheus_counts_reasons(backend):
    def counted():
        return REGISTRY.get_sample_value("banque_replis_total", {"raison": "filtres"}) or 0

    before = counted()
    answered("populaires", repli="filtres")
    answered()
    assert counted() == before + 1


def test_prometheus_counts_it_too(backend):
    def counted():
        labels = {"source": "ncf", "cache": "oui"}
        return REGISTRY.get_sample_value("banque_recommandations_total", labels) or 0

    before = counted()
    answered(cached=True)
    assert counted() == before + 1


def test_days_add_up_and_older_ones_are_left_out(backend, today):
    for day in ("2026-02-27", "2026-02-28", "2026-03-01"):
        today(day)
        answered()
    assert [served(days).requests for days in (1, 2, 3, 30, 3650)] == [1, 2, 3, 3, 3]
    today("2026-03-02")
    assert [served(days).requests for days in (1, 2)] == [0, 1]


def test_nothing_served_is_nothing_not_an_error(backend):
    total = served(30)
    assert (total.requests, total.milliseconds(0.5)) == (0, None)


@pytest.mark.parametrize("seconds", [0.0002, 0.0017, 0.031, 0.4, 7.0])
def test_a_latency_is_right_within_9_percent(backend, seconds):
    answered(seconds=seconds)
    assert served(1).milliseconds(0.5) == pytest.approx(seconds * 1000, rel=0.095)


def test_percentiles_are_those_of_the_answers(backend):
    for hundredth in range(1, 101):
        answered(seconds=hundredth / 100)
    total = served(1)
    assert total.milliseconds(0.5) == pytest.approx(500, rel=0.095)
    assert total.milliseconds(0.95) == pytest.approx(950, rel=0.095)


@pytest.mark.parametrize("seconds", [0, 1e-9, -1e-6])
def test_what_takes_no_time_has_the_smallest(backend, seconds):
    answered(seconds=seconds)
    assert 0 < served(1).milliseconds(0.5) < 0.2


def test_a_day_is_kept_90_days(redis, today):
    answered()
    key = cache.make_key("telemetrie:1:2026-03-02")
    assert 89 * 86_400 < cache.client.get_client().ttl(key) <= 90 * 86_400


def test_one_round_trip_counts_an_answer(redis, monkeypatch):
    answered()
    answered()
    sent = []
    connection = cache.client.get_client().connection_pool.connection_class
    really = connection.send_packed_command
    monkeypatch.setattr(
        connection,
        "send_packed_command",
        lambda self, *args, **kwargs: sent.append(args) or really(self, *args, **kwargs),
    )
    answered()
    assert len(sent) == 1


def test_two_processes_count_into_one_sum(redis):
    answered()
    redis.client.hincrby(cache.make_key(telemetry._key(telemetry._today())), "ncf|1|12|v1", 6)
    assert served(1).requests == 7


@pytest.mark.parametrize("field", ["ncf|1|x|v1", b"\xff|", "demain", "ncf|1|99999|v1"])
def test_a_field_of_another_format_is_passed_over(redis, field):
    answered()
    redis.client.hset(cache.make_key(telemetry._key(telemetry._today())), field, 3)
    assert served(1).requests == 1


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_without_redis_nothing_fails_and_nothing_is_said(redis, fault):
    answered()
    getattr(redis, fault)()
    answered()
    assert served(1) is None


def test_a_redis_that_was_flushed_counts_anew(redis):
    answered()
    redis.flush()
    answered()
    assert served(1).requests == 1


def test_what_redis_refuses_is_said(redis, caplog):
    redis.client.set(cache.make_key(telemetry._key(telemetry._today())), "x")
    answered()
    assert served(1) is None
    assert all("WRONGTYPE" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == 2
