import os
import subprocess
import sys
import time

import pytest

from apps.core.sandbox import FailedInSandbox, run_limited

MEMORY = 256 * 1024 * 1024


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source").write_bytes(b"bonjour")
    with (tmp_path / "source").open("rb") as file:
        yield file


def run(function, source, **limits):
    return run_limited(function, source, **{"timeout_s": 5, "memory_bytes": MEMORY} | limits)


# --- What runs in the child --------------------------------------------------------------


def upper(source):
    return source.read().upper()


def environment(source):
    return repr((dict(os.environ), os.getcwd(), "django" in sys.modules)).encode()


def raises(source):
    raise ValueError("illisible")


def eats_memory(source):
    return bytes(2 * MEMORY)


def sleeps(source):
    time.sleep(60)
    return b""


def burns(source):
    while True:
        pass


def talks(source):
    while True:
        sys.stdout.buffer.write(bytes(1 << 20))


def leaves_a_child(source):
    child = subprocess.Popen(["/bin/sleep", "60"])
    return str(child.pid).encode()


# --- What the parent sees ----------------------------------------------------------------


def test_the_child_gives_what_the_function_makes_of_the_whole_file(source):
    source.read(3)
    assert run(upper, source) == b"BONJOUR"


def test_the_child_has_no_environment_hence_no_secret(source, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "secret-de-la-banque")
    variables, folder, has_django = eval(run(environment, source).decode())  # noqa: S307
    assert (set(variables) <= {"LC_CTYPE"}, folder, has_django) == (True, "/", False)


def test_an_error_of_the_child_is_told_by_its_last_line(source):
    with pytest.raises(FailedInSandbox, match=r"raises : ValueError: illisible"):
        run(raises, source)


@pytest.mark.parametrize(
    ("function", "limits", "cause"),
    [
        (eats_memory, {}, "MemoryError"),
        (sleeps, {"timeout_s": 1}, "SIGALRM"),
        (burns, {"timeout_s": 1}, "SIGALRM|SIGKILL|SIGXCPU"),
        (talks, {"output_max": 1 << 20}, "File too large"),
    ],
)
def test_a_child_that_passes_a_limit_is_ended(source, function, limits, cause):
    started = time.monotonic()
    with pytest.raises(FailedInSandbox, match=cause):
        run(function, source, **limits)
    assert time.monotonic() - started < 10


def test_nothing_that_the_child_started_outlives_it(source):
    grandchild = int(run(leaves_a_child, source))

    def is_alive():
        try:
            with open(f"/proc/{grandchild}/stat") as stat:
                return stat.read().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    deadline = time.monotonic() + 5
    while is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive()
