import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import variety


def test_the_trade_is_measured_and_drawn(
    board_log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "trade.svg"
    variety.main([f"--data={board_log}", f"--picture={picture}"])
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    found = json.loads(line)["diversite"]
    assert list(found) == [str(value) for value in variety.VALUES]
    unlike = [one[variety.UNLIKE] for one in found.values()]
    assert max(unlike) > unlike[0]
    assert found["1.0"][variety.NDCG] < found["0.0"][variety.NDCG]
    assert "couverture" in err
    drawn = ElementTree.parse(picture).getroot()  # noqa: S314
    assert len(drawn.findall(".//{*}circle")) == 3 * len(variety.VALUES)


def test_unlikeness_is_the_mean_over_the_pairs_of_a_list() -> None:
    likeness = np.array([[1, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1]], np.float32)
    # By hand: 1 - (.5 + 0 + .2) / 3.
    assert variety._unlike(np.array([[0, 1, 2]]), likeness) == pytest.approx(1 - 0.7 / 3)
