import numpy as np
import pytest
import torch
from torch import nn

from apps.recommender.ml.architectures import ARCHITECTURES
from apps.recommender.ml.config import ModelConfig
from apps.recommender.ml.model import NO_ITEMS, NO_WEIGHTS
from apps.recommender.ml.ncf_model import NCF, NCFScorer
from benchmarks.retrieval import Shortlist, best

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
N = 3000


def network(architecture: str, n_items: int = N) -> NCF:
    """Weights of ordinary size, so that the tower bends what it is given."""
    model = NCF(ModelConfig(architecture, 40, n_items, 8))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(4))
    return model


@pytest.mark.parametrize("n", [1, 9, 10, 200, 5000])
@pytest.mark.parametrize("k", [1, 10, 500])
def test_the_best_are_those_of_a_full_sort(n: int, k: int) -> None:
    scores = np.random.default_rng(n).permutation(n).astype(np.float32)
    assert best(scores, k).tolist() == np.argsort(-scores)[:k].tolist()


def test_the_best_are_found_where_the_sample_saw_only_high_scores() -> None:
    scores = np.arange(5000, dtype=np.float32)
    scores[::64] += 10_000
    scores[1::64] += 5000
    assert best(scores, 100).tolist() == np.argsort(-scores)[:100].tolist()


@every_architecture
def test_a_shortlist_of_everything_answers_as_scoring_everything_does(architecture: str) -> None:
    model = network(architecture)
    for user in range(5):
        logits = NCFScorer(model).scores(NO_ITEMS, NO_WEIGHTS, user)
        items, found = Shortlist(model, size=N).top(user, 10)
        assert items.tolist() == best(logits, 10).tolist()
        np.testing.assert_allclose(found, logits[items], rtol=1e-5)


@every_architecture
def test_a_tenth_of_the_catalogue_holds_most_of_the_best_even_untrained(architecture: str) -> None:
    model = network(architecture)
    shortlist, scorer = Shortlist(model, size=N // 10), NCFScorer(model)
    shares = []
    for user in range(40):
        tenth = np.sort(scorer.scores(NO_ITEMS, NO_WEIGHTS, user))[-10]
        # By logit: behind its last ReLU a tower gives many items the same one.
        shares.append((shortlist.top(user, 10)[1] >= tenth - 1e-5).mean())
    assert np.mean(shares) > 0.8


def test_a_catalogue_smaller_than_anything_asked_of_it_is_ranked_whole() -> None:
    model = network("neumf", n_items=7)
    items, logits = Shortlist(model, size=100).top(0, 10)
    assert sorted(items.tolist()) == list(range(7))
    assert logits.tolist() == sorted(logits.tolist(), reverse=True)
