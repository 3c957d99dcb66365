"""On a small fixed split, the default model keeps to its promise."""

import numpy as np
import pytest

from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, split_by_date
from apps.recommender.ml.evaluation import evaluate_model
from apps.recommender.ml.recency import forgetting
from apps.recommender.ml.registry import build
from apps.recommender.ml.synthetic import generate
from benchmarks.synthetic import metadata, positives


@pytest.fixture(scope="module")
def split() -> Dataset:
    bank = generate(120, 80, 6000, seed=7)
    return forgetting(split_by_date(positives(bank), metadata(bank)))


def test_the_default_is_not_below_the_better_of_ease_and_ials(split: Dataset) -> None:
    found = {}
    for name in ("ease", "ials", "hybrid"):
        model = build(name, TrainingConfig())
        model.fit(split, np.random.default_rng(42))
        found[name] = evaluate_model(model, split).metrics["ndcg_at_10"]
    assert found["hybrid"] >= max(found["ease"], found["ials"]) - 0.005
