"""How fast a bank forgets: what students took last year says less of what they take now."""

from dataclasses import replace

import numpy as np

from apps.recommender.ml.baselines import Ease
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.evaluation import evaluate_model
from apps.recommender.ml.metrics import Values

# Half-lives as shares of the log's length, longest first.
SHARES = (1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 8)


def forgetting(data: Dataset) -> Dataset:
    """With the half-life that suits the validation part, the same for every model.

    EASE is the judge, for it costs a fraction of a second. Where it forgets nothing at its best,
    nothing is forgotten; else the shortest half-life is taken whose NDCG@10 is within one standard
    error of its best (Breiman et al. 1984): nearer to the day when the model will serve.
    """
    dates = data.train.timestamps
    if dates is None or not len(data.validation) or np.ptp(dates) == 0:
        return data
    judge = Ease()
    judge.fit(data, np.random.default_rng(0))
    length = float(np.ptp(dates))
    trials = [data, *(replace(data, half_life=share * length) for share in SHARES)]
    ndcgs = [_ndcg_by_user(trial, judge.setting) for trial in trials]
    best = max(ndcgs, key=np.mean)
    if best is ndcgs[0]:
        return data
    good = [trial for trial, ndcg in zip(trials, ndcgs, strict=True) if _as_good(ndcg, best)]
    return good[-1]


def _ndcg_by_user(data: Dataset, penalty: float) -> Values:
    model = Ease(penalty)
    model.fit(data, np.random.default_rng(0))
    return evaluate_model(model, data, part="validation").ndcg_by_user


def _as_good(ndcg: Values, best: Values) -> bool:
    difference = best - ndcg
    return bool(difference.mean() <= difference.std() / np.sqrt(len(difference)))
