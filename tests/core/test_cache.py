"""A Redis of the test's own: refused, killed, frozen, restarted."""

import logging
import logging.config
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import redis
from django.conf import settings
from django_redis.cache import RedisCache

from apps.core import cache as breaker
from tests.conftest import REDIS_OPTIONS
from tests.reliability.servers import Redis

pytestmark = pytest.mark.requires("redis-server")


@pytest.fixture
def cache(redis_server: Redis) -> Iterator[RedisCache]:
    cache = RedisCache(redis_server.url, {"OPTIONS": REDIS_OPTIONS})
    yield cache
    cache.client.get_client().connection_pool.disconnect()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The breaker's own, moved by hand."""
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(breaker, "time", clock)
    return clock


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was really asked of Redis, by way of its socket."""
    made: list[str] = []
    for name in ("_connect", "send_packed_command"):
        really = getattr(redis.Connection, name)

        def noted(self, *args, _really=really, _name=name, **kwargs):
            made.append(_name)
            return _really(self, *args, **kwargs)

        monkeypatch.setattr(redis.Connection, name, noted)
    return made


def test_a_redis_that_answers_is_asked_each_time(cache, calls):
    cache.set("a", 1)
    calls.clear()
    assert [cache.get("a") for _ in range(3)] == [1, 1, 1]
    assert calls == ["send_packed_command"] * 3


def test_a_dead_redis_is_called_once_then_left_alone(redis_server, cache, clock, calls):
    cache.set("a", 1)
    redis_server.kill()
    calls.clear()
    assert cache.get("a") is None
    assert calls
    calls.clear()
    assert cache.get("a", "absent") == "absent"
    assert (cache.set("a", 2), cache.add("b", 1), cache.incr("c")) == (None, None, None)
    assert cache.get_many(["a", "b"]) == {}
    clock.now += breaker.PAUSE_SECONDS - 0.1
    cache.get("a")
    assert calls == []


def test_after_the_pause_one_call_tries_and_a_failure_waits_again(
    redis_server, cache, clock, calls
):
    redis_server.kill()
    cache.get("a")
    for _ in range(3):
        calls.clear()
        clock.now += breaker.PAUSE_SECONDS
        cache.get("a")
        cache.get("a")
        assert calls == ["_connect"]


def test_a_redis_that_is_back_serves_after_the_pause(redis_server, cache, clock):
    cache.set("a", 1)
    redis_server.kill()
    cache.get("a")
    redis_server.start()
    cache.set("a", 2)
    assert cache.get("a") is None
    clock.now += breaker.PAUSE_SECONDS
    assert cache.set("a", 3) is True
    assert cache.get("a") == 3


def test_a_frozen_redis_costs_one_time_out_also_on_an_open_socket(
    redis_server, cache, clock, calls
):
    cache.set("a", 1)
    redis_server.freeze()
    calls.clear()
    start = time.monotonic()
    assert [cache.get("a") for _ in range(50)] == [None] * 50
    assert 1 <= time.monotonic() - start < 1.9
    assert calls == ["send_packed_command"]
    redis_server.thaw()
    clock.now += breaker.PAUSE_SECONDS
    assert cache.get("a") == 1


def test_a_restart_between_two_calls_is_not_even_noticed(redis_server, cache, caplog):
    cache.set("a", 1)
    redis_server.kill()
    redis_server.start()
    assert cache.set("a", 2) is True
    assert cache.get("a") == 2
    assert caplog.records == []


def test_of_many_threads_one_alone_tries(redis_server, cache, clock, calls):
    redis_server.freeze()
    cache.get("a")
    clock.now += breaker.PAUSE_SECONDS
    calls.clear()
    threads = [threading.Thread(target=cache.get, args=["a"]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls.count("_connect") == 1


def test_a_pipeline_is_behind_the_breaker_too(redis_server, cache, clock):
    pipeline = cache.client.get_client().pipeline(transaction=False)
    redis_server.freeze()
    with pytest.raises(redis.TimeoutError):
        pipeline.incr("a").execute()
    with pytest.raises(breaker.RedisAway):
        pipeline.incr("a").execute()


def test_the_log_says_it_once_at_each_end(redis_server, cache, clock, caplog):
    caplog.set_level(logging.INFO)
    redis_server.kill()
    for _ in range(3):
        cache.get("a")
        clock.now += breaker.PAUSE_SECONDS
    redis_server.start()
    cache.get("a")
    cache.get("a")
    said = [record for record in caplog.records if record.name == breaker.__name__]
    assert [record.levelname for record in said] == ["WARNING", "INFO"]
    assert "Connection refused" in said[0].getMessage()


def test_of_what_redis_refuses_the_console_has_a_line_and_no_trace(redis_server, cache, capsys):
    logging.config.dictConfig(settings.LOGGING)
    cache.client.get_client().rpush(cache.make_key("a"), "x")
    assert cache.get("a") is None
    assert cache.get("b", 0) == 0
    redis_server.kill()
    assert cache.get("b", 0) == 0
    refused, away = capsys.readouterr().err.splitlines()
    assert "Redis a refusé : WRONGTYPE" in refused
    assert "Redis ne répond pas" in away


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_waits_for_no_lock_that_its_parent_held(redis_server, cache):
    cache.get("a")
    redis_server.kill()
    with cache.client.get_client().connection_pool._breaker:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            os._exit(0 if cache.get("a", "absent") == "absent" else 1)
        assert os.waitpid(child, 0)[1] == 0


ASK = """
import django, time
django.setup()
from django.core.cache import cache
start = time.monotonic()
answers = {cache.get("a") for _ in range(200)}
print(answers, time.monotonic() - start < 1)
"""


def test_the_settings_put_it_before_every_redis(redis_server):
    redis_server.freeze()
    names = {
        "DJANGO_SETTINGS_MODULE": "config.settings.development",
        "DEBUG": "True",
        "SECRET_KEY": "x",
        "JWT_SECRET_KEY": "y",
        "REDIS_URL": redis_server.url,
    }
    asked = subprocess.run(
        [sys.executable, "-c", ASK], env=os.environ | names, capture_output=True, text=True
    )
    assert asked.stdout.split() == ["{None}", "True"], asked.stderr
    assert asked.stderr.count("\n") == 1
    assert "Redis ne répond pas" in asked.stderr
