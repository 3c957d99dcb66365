"""Hostile bytes are read in a process of their own: little time, little memory, no secret.

This file is both sides: imported, `run_limited` starts the process; run as a script, it is the
process. So it imports nothing of Django.
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

OUTPUT_MAX = 16 * 1024 * 1024


class FailedInSandbox(Exception):
    """The child raised, or passed a limit; the message ends with its last word."""


def run_limited(
    function: Callable[[BinaryIO], bytes],
    source: BinaryIO,
    *,
    timeout_s: int,
    memory_bytes: int,
    output_max: int = OUTPUT_MAX,
) -> bytes:
    """What `function`, of a module that imports no Django, makes of `source`, a file on disk.

    Raises FailedInSandbox. Its heavy imports belong inside the function: this process does not
    need them.
    """
    target = [function.__module__, function.__qualname__]
    limits = [timeout_s, memory_bytes, output_max]
    # Past the buffer of `source`, which the child does not see.
    os.lseek(source.fileno(), 0, os.SEEK_SET)
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaint:
        child = subprocess.Popen(
            [sys.executable, "-I", "-B", __file__, *target, *map(str, limits)],
            stdin=source,
            stdout=said,
            stderr=complaint,
            env={},
            cwd="/",
            start_new_session=True,
        )
        try:
            status = child.wait(timeout_s + 1)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        finally:
            _end(child)
        if status:
            raise FailedInSandbox(f"{'.'.join(target)} : {_cause(status, complaint)}")
        said.seek(0)
        return said.read()


def _end(child: subprocess.Popen[bytes]) -> None:
    """With whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _cause(status: int, complaint: BinaryIO) -> str:
    if status < 0:
        return signal.Signals(-status).name
    complaint.seek(0)
    lines = complaint.read(OUTPUT_MAX).decode(errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else f"code {status}"


# --- The child ---------------------------------------------------------------------------


def _main(module: str, name: str, *limits: str) -> None:
    timeout_s, memory_bytes, output_max = map(int, limits)
    _limit(timeout_s, memory_bytes, output_max)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    function = getattr(import_module(module), name)
    sys.stdout.buffer.write(function(sys.stdin.buffer))
    sys.stdout.buffer.flush()
    # What a library would still free, it may free wrongly.
    os._exit(0)


def _limit(timeout_s: int, memory_bytes: int, output_max: int) -> None:
    # Before those who answer people.
    os.nice(10)
    # The clock is the child's own as well: it outlives no killed parent by long.
    signal.alarm(timeout_s)
    for kind, most in (
        (resource.RLIMIT_CPU, timeout_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, output_max),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    _main(*sys.argv[1:])
