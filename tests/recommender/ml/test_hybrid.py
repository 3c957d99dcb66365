from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from apps.recommender.ml import hybrid
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, FloatArray, Interactions, split_by_date, whole
from apps.recommender.ml.hybrid import Hybrid
from apps.recommender.ml.metadata import Metadata
from apps.recommender.ml.model import NO_ITEMS, NO_WEIGHTS
from apps.recommender.ml.signals import Shallow, Students

DAY = 24 * 3600
CONFIG = TrainingConfig(epochs=4, batch_size=64, embedding_dim=8, learning_rate=0.005)
L1, L2 = {"niveau": ("L1",)}, {"niveau": ("L2",)}


def fitted(data: Dataset, config: TrainingConfig = CONFIG) -> Hybrid:
    model = Hybrid(config)
    model.fit(data, np.random.default_rng(7))
    return model


def levels(n_users: int = 40, n_items: int = 30) -> tuple[Interactions, Metadata]:
    """Students of L1 take épreuves of algebra, those of L2 of optics; each took 8 of 15."""
    rng = np.random.default_rng(5)
    rows = [
        (user, item)
        for user in range(n_users)
        for item in rng.choice(np.arange(user % 2, n_items, 2), 8, replace=False)
    ]
    users, items = np.array(rows).T
    dates = rng.permutation(len(rows)) * DAY
    log = Interactions(users, items, np.ones(len(rows), np.float32), dates)
    matieres = [{"matiere": (("ALGEBRE", "OPTIQUE")[item % 2],)} for item in range(n_items)]
    return log, Metadata(
        {user: (L1, L2)[user % 2] for user in range(n_users)}, dict(enumerate(matieres))
    )


@pytest.fixture(scope="module")
def rich() -> Dataset:
    return split_by_date(*levels())


@pytest.fixture(scope="module")
def model(rich: Dataset) -> Hybrid:
    return fitted(rich)


def reranked(model: Hybrid) -> Hybrid:
    """The same with a second stage that has plenty to say, whatever it was taught."""
    rng = np.random.default_rng(1)
    arrays, values = model.tensors()
    for name, array in arrays.items():
        if name.startswith(("fusion.linear", "fusion.mlp")):
            arrays[name] = rng.normal(scale=0.3, size=array.shape).astype(np.float32)
    return Hybrid.restored(arrays, values)


def without(items: np.ndarray, weights: FloatArray, item: int) -> tuple[np.ndarray, FloatArray]:
    return items[items != item], weights[items != item]


# --- The history ---------------------------------------------------------------------------------


def test_an_epreuve_of_the_history_never_votes_for_itself(model: Hybrid, rich: Dataset) -> None:
    """Its score is that of who never took it, but for the means that one épreuve moves.

    EASE, here with a diagonal of 0, leaves all of the student out besides: see test_linear.
    """
    other = reranked(model)
    plain = [
        replace(one, diagonal=np.zeros_like(one.diagonal)) if isinstance(one, Shallow) else one
        for one in other.stage.signals
    ]
    other.stage = replace(other.stage, signals=plain)
    moved, voting = [], []
    for user in range(0, 40, 3):
        items, weights = rich.history(user)
        traits = rich.traits(user)
        scores = other.scores(items, weights, None, traits)
        naive = other.scores_of(Students.of(rich, np.array([user])))[0]
        for item in items:
            alone = other.scores(*without(items, weights, item), None, traits)
            moved.append(abs(scores[item] - alone[item]) / scores.std())
            voting.append(abs(naive[item] - alone[item]) / scores.std())
    assert max(moved) < 0.35
    assert np.mean(moved) < 0.4 * np.mean(voting)


def test_the_order_of_a_history_does_not_matter_and_it_stays_as_it_was(
    model: Hybrid, rich: Dataset
) -> None:
    items, weights = rich.history(3)
    weights = weights * np.linspace(0.5, 2, len(items), dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(items))
    mixed = items[order].astype(np.int32), weights[order]  # scipy's own types: nothing is copied
    kept = [array.copy() for array in mixed]
    for array in mixed:
        array.flags.writeable = False
    found = model.scores(*mixed, None, L2)
    assert all(map(np.array_equal, mixed, kept))
    np.testing.assert_allclose(found, model.scores(items, weights, None, L2), atol=1e-4)


def test_several_students_at_once_are_scored_as_each_alone(model: Hybrid, rich: Dataset) -> None:
    users = np.array([5, 0, 22])
    students = replace(Students.of(rich, users), seen_too=True)
    together = model.scores_of(students)
    for row, user in enumerate(users.tolist()):
        alone = model.scores(*rich.history(user), user, rich.traits(user))
        np.testing.assert_allclose(together[row], alone, atol=1e-5)


# --- The two stages ------------------------------------------------------------------------------


def test_beyond_the_ranked_the_order_of_the_first_stage_is_kept(
    model: Hybrid, rich: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid, "RANKED", 6)
    other = reranked(model)
    for user in range(40):
        items, weights = rich.history(user)
        history = csr_matrix((weights, items, [0, len(items)]), shape=(1, 30))
        base = other.stage.table(Students(history, (rich.traits(user),), seen_too=True)).base[0]
        scores = other.scores(items, weights, None, rich.traits(user))
        unseen = np.setdiff1d(np.arange(30), items)
        ranked = unseen[np.argsort(-base[unseen], kind="stable")]
        best, rest = ranked[:6], ranked[6:]
        assert scores[best].min() >= scores[rest].max()
        assert (np.diff(scores[rest]) <= 1e-5).all()
        np.testing.assert_allclose(np.diff(scores[rest]), np.diff(base[rest]), atol=1e-3)


def test_among_the_ranked_the_second_stage_has_the_last_word(model: Hybrid, rich: Dataset) -> None:
    items, weights = rich.history(3)
    history = csr_matrix((weights, items, [0, len(items)]), shape=(1, 30))
    base = model.stage.table(Students(history, (L2,), seen_too=True)).base[0]
    said = reranked(model).scores(items, weights, None, L2)
    assert not np.array_equal(np.argsort(said), np.argsort(base))


def test_a_second_stage_that_says_nothing_leaves_the_first(model: Hybrid, rich: Dataset) -> None:
    arrays, values = model.tensors()
    silent = {
        name: np.zeros_like(array) if name.startswith(("fusion.linear", "fusion.mlp")) else array
        for name, array in arrays.items()
    }
    plain = Hybrid.restored(silent, values)
    students = replace(Students.of(rich, np.arange(40)), seen_too=True)
    scores, base = plain.scores_of(students), plain.stage.table(students).base
    np.testing.assert_allclose(scores, base, atol=1e-4)


def test_a_second_fit_learns_the_first_stage_again_and_keeps_the_second(rich: Dataset) -> None:
    model = fitted(rich)
    network = {name: value.clone() for name, value in model.network.state_dict().items()}
    q, settings, best = model.stage.factors.q, model.settings, model.best_epoch
    steps: list[int] = []
    model.fit(
        whole(*levels()), np.random.default_rng(1), on_step=lambda done, total: steps.append(done)
    )
    again = model.network.state_dict()
    assert all(np.array_equal(value, again[name]) for name, value in network.items())
    assert (model.settings, model.best_epoch, steps) == (settings, best, [])
    learnt = model.stage.factors.q
    assert not np.array_equal(learnt, q)
    # Turned onto the first, or the weights kept would speak of other dimensions.
    assert np.linalg.norm(learnt - q) < 0.5 * np.linalg.norm(q)


def test_a_second_fit_turns_the_factors_onto_those_the_network_knows(rich: Dataset) -> None:
    """Whatever their first draw: here it is another."""
    model = fitted(rich)
    q = model.stage.factors.q
    model.settings = replace(model.settings, seed=model.settings.seed + 1)
    model.fit(whole(*levels()), np.random.default_rng(1))
    assert np.linalg.norm(model.stage.factors.q - q) < 0.5 * np.linalg.norm(q)


def test_epochs_are_told_from_the_first_stage_alone_on(rich: Dataset) -> None:
    told: list[dict[str, object]] = []
    model = Hybrid(CONFIG)
    model.fit(rich, np.random.default_rng(7), on_epoch=told.append)
    assert told == model.history
    assert [entry["epoch"] for entry in told] == [0, 1, 2, 3, 4]
    best = max(told, key=lambda entry: entry["ndcg_validation"])
    assert model.best_epoch == best["epoch"]


def test_of_many_held_out_students_a_sample_is_measured(
    rich: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid, "MAX_STUDENTS", 5)
    sample = hybrid._sampled(rich, np.random.default_rng(0))
    assert len(np.unique(sample.validation.user_idx)) == 5
    assert set(sample.validation.user_idx) <= set(rich.part("validation").user_idx)
    assert np.isfinite(fitted(rich).scores(NO_ITEMS, NO_WEIGHTS, None)).all()


# --- What is known -------------------------------------------------------------------------------


def test_without_traits_nor_dates_it_still_learns(board: Dataset) -> None:
    train, validation = (
        replace(part, weights=None, timestamps=None) for part in (board.train, board.validation)
    )
    model = fitted(replace(board, train=train, validation=validation))
    assert model.stage.columns == ("ials", "ease", "popularite", "longueur")
    scores = model.scores(np.array([0, 2, 4]), np.ones(3, np.float32), None)
    assert scores[6::2].min() > scores[1::2].max()


def test_who_did_nothing_is_told_by_their_traits(model: Hybrid) -> None:
    of_l1, of_l2 = (model.scores(NO_ITEMS, NO_WEIGHTS, None, traits) for traits in (L1, L2))
    assert of_l1[::2].min() > of_l1[1::2].max()
    assert of_l2[1::2].min() > of_l2[::2].max()


def test_without_their_traits_who_did_nothing_is_told_nothing(model: Hybrid) -> None:
    nobody = model.scores(NO_ITEMS, NO_WEIGHTS, None)
    even, odd = nobody[::2].mean(), nobody[1::2].mean()
    of_l1 = model.scores(NO_ITEMS, NO_WEIGHTS, None, L1)
    assert abs(even - odd) < 0.2 * abs(of_l1[::2].mean() - of_l1[1::2].mean())


def test_a_level_opened_after_training_is_scored_as_none(model: Hybrid, rich: Dataset) -> None:
    items, weights = rich.history(3)
    known = model.scores(items, weights, None, {})
    assert np.array_equal(model.scores(items, weights, None, {"niveau": ("D1",)}), known)


def test_what_was_done_speaks_louder_than_a_level(model: Hybrid) -> None:
    """One of L1 who did nothing but optics."""
    scores = model.scores(np.arange(1, 17, 2), np.ones(8, np.float32), None, L1)
    assert scores[17::2].mean() > scores[::2].mean()
