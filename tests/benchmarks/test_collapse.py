import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from apps.recommender.ml import trainer
from benchmarks import collapse


def test_every_epoch_is_measured_and_drawn(
    board_log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "curves.svg"
    collapse.main([f"--data={board_log}", "--epochs=3", f"--picture={picture}"])
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    found = json.loads(line)["ndcg_validation"]
    assert [len(values) for values in found.values()] == [3, 3]
    drawn = ElementTree.parse(picture).getroot()  # noqa: S314
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(drawn.findall(".//{*}circle")) == 6
    assert "décroissance" in err


def test_the_constants_of_the_product_are_back_afterwards(board_log: Path) -> None:
    before = trainer.WEIGHT_DECAY, trainer.PATIENCE
    collapse.main([f"--data={board_log}", "--epochs=1"])
    assert before == (trainer.WEIGHT_DECAY, trainer.PATIENCE)
