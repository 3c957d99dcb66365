import json

import pytest

from benchmarks import calibration


def test_every_case_is_measured_and_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    calibration.main(["--seeds", "1", "2", "--small"])
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    figures = json.loads(line)
    assert figures.keys() == {"seeds", "secondes", *calibration.CASES}
    assert len(err.splitlines()) == len(calibration.CASES)
    assert figures["biaise"]["calibree"] > figures["biaise"]["moyenne"]


def test_the_truth_planted_is_what_a_dense_fair_bank_of_plain_means_finds() -> None:
    fair = calibration.Case(fewest=140, most=150, bias=0, severity=0, noise=0.3)
    assert calibration.compare(calibration.planted(fair, 1)).mean > 0.98


def test_the_severe_meet_some_epreuves_more_than_others() -> None:
    def spread(bias: float) -> int:
        bank = calibration.planted(calibration.Case(bias=bias), 1)
        raters_of = [{r.rater for r in bank.ratings if r.epreuve == one} for one in range(150)]
        return max(map(len, raters_of)) - min(map(len, raters_of))

    assert spread(1.5) > spread(0)
