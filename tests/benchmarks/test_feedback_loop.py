import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from apps.recommender.ml.synthetic import generate
from benchmarks import feedback_loop
from benchmarks.feedback_loop import RULES, School


def test_months_are_lived_measured_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "loop.svg"
    feedback_loop.main(
        [
            *("--students=30", "--epreuves=50", "--months=3", "--seeds", "1", "2"),
            *("--rules", "tout", "gestes", "gestes_appris", f"--picture={picture}"),
        ]
    )
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    found = json.loads(line)["models"]["ease"]
    assert list(found) == ["tout", "gestes", "gestes_appris"]
    assert found["tout"]["ecart_a_tout"] == [0, 0]
    # The same school until the first recommendations are followed.
    assert len({rule["par_mois"][0] for rule in found.values()}) == 1
    assert found["gestes"]["part"] != found["tout"]["part"]
    assert all(0 < rule["part"] < 1 and 0 < rule["couverture"] <= 1 for rule in found.values())
    assert "gestes_appris" in err
    assert len(ElementTree.parse(picture).findall(".//{*}circle")) == 9  # noqa: S314


@pytest.mark.parametrize(
    ("rule", "learnt"), [("tout", 8), ("rien", 0), ("gestes", 4), ("telechargements", 4)]
)
def test_a_rule_decides_what_is_learnt_of_what_was_shown(rule: str, learnt: int) -> None:
    school = School(generate(20, 40, 400), RULES[rule], np.random.default_rng(1))
    school.suits[0, :4], school.suits[0, 4:8] = 1.0, 0.0  # downloads the former, never the latter
    for item in range(8):
        school._open(0, item, 1, rank=0)
    assert sum(row[-1] for row in school.log) == learnt
    assert not school.unseen[0, :8].any()


def test_the_rule_that_compares_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        feedback_loop.main(["--rules", "gestes"])
    assert "tout" in capsys.readouterr().err


def test_gini_is_0_where_all_are_shown_alike_and_grows_with_favour() -> None:
    assert feedback_loop.gini(np.array([3, 3, 3, 3])) == 0
    # By hand: Σ (2i - n - 1)·x_i / (n·Σ x) = 3·8 / (4·8).
    assert feedback_loop.gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
