"""How fast a bank forgets: what students took last year says less of what they take now."""

from dataclasses import replace

import numpy as np

from apps.recommender.ml.baselines import Ease
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.evaluation import evaluate_model

# Half-lives as shares of the log's length; None never forgets.
SHARES = (None, 1 / 2, 1 / 4, 1 / 8)


def forgetting(data: Dataset) -> Dataset:
    """With the half-life under which EASE ranks the validation part best.

    EASE is the judge for it costs a fraction of a second; what is chosen holds for every model.
    """
    dates = data.train.timestamps
    if dates is None or not len(data.validation) or np.ptp(dates) == 0:
        return data
    judge = Ease()
    judge.fit(data, np.random.default_rng(0))
    length = float(np.ptp(dates))
    trials = [
        replace(data, half_life=None if share is None else share * length) for share in SHARES
    ]
    return max(trials, key=lambda trial: _ndcg(trial, judge.setting))


def _ndcg(data: Dataset, penalty: float) -> float:
    model = Ease(penalty)
    model.fit(data, np.random.default_rng(0))
    return evaluate_model(model, data, part="validation").metrics["ndcg_at_10"]
