import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.search import REQUESTS

ROOT = Path(__file__).parent.parent.parent


def test_the_search_benchmark_runs_on_two_small_banks_and_leaves_nothing(tmp_path):
    argv = [sys.executable, "-m", "benchmarks.search", "--sizes", "300", "600", "--rounds", "2"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    table = done.stderr.splitlines()[-len(REQUESTS) :]
    assert [row.split()[0] for row in table] == list(REQUESTS)
    figures = json.loads(line)
    assert figures["queries"]["300"] == figures["queries"]["600"]
    assert figures["ratio"].keys() == REQUESTS.keys()
    found = figures["found"]["300"]
    assert found["faute"] >= found["recherche"] > 0 == found["absente"]
    assert list(tmp_path.iterdir()) == []
