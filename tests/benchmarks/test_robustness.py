import json
from pathlib import Path
from unittest import mock

import pytest

from benchmarks import robustness
from benchmarks.robustness import DEFAULT, LONG, Result


def test_every_extreme_is_trained_and_compared(
    board_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {DEFAULT: {"epochs": 2}, "epochs 1": {"epochs": 1}}
    with mock.patch.multiple(robustness, EXTREMES=few, MIN_LONG=3):
        robustness.main([f"--data={board_log}"])
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    found = json.loads(line)["trainings"]
    assert list(found) == [DEFAULT, "epochs 1", LONG]
    assert found[LONG]["epochs"] >= 3
    assert "moins la popularité" in err


def test_what_is_no_better_than_popularity_is_told() -> None:
    good = Result(0.5, (0.1, 0.2), 3, 8, 1.0)
    bad = Result(0.2, (-0.1, 0.2), 3, 8, 1.0)
    assert robustness.complaints({DEFAULT: good, "x": good, LONG: good}) == []
    assert len(robustness.complaints({DEFAULT: good, "x": bad, LONG: good})) == 1
    assert len(robustness.complaints({DEFAULT: good, LONG: Result(0.48, (0, 1), 1, 9, 1.0)})) == 2
