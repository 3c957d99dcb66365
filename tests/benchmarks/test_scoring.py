import json

import pytest
import torch

from apps.recommender.ml.config import ModelConfig
from apps.recommender.ml.ncf_model import NCF
from benchmarks import scoring


def test_it_ends_with_one_line_of_json_and_shows_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "EPOCHS", 1)
    monkeypatch.setattr(scoring, "MEASURED", 5)
    scoring.main(["--sizes", "150", "2000", "--seconds=0.001"])
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    result = json.loads(line)
    assert list(result["exact_ms"]) == list(result["sizes"]) == ["150", "2000"]
    for size in result["sizes"].values():
        assert 0 <= size["recall"] <= 1
        assert 0 < size["naive"]["mb"] < size["exact"]["mb"] < size["two_stage"]["mb"]
    assert "rappel@10" in err


def test_the_enlarged_catalogue_keeps_the_students_and_what_they_like() -> None:
    small = NCF(ModelConfig("neumf", 5, 30, 8), seed=1)
    large = scoring.enlarged(small, 100)
    assert (large.config.n_users, large.config.n_items) == (5, 100)
    users, items = torch.arange(5).repeat_interleave(100), torch.arange(100).repeat(5)
    with torch.inference_mode():
        logits, before = large(users, items), small.score_all(torch.arange(5))
    assert float(logits.std()) == pytest.approx(float(before.std()), rel=0.5)
