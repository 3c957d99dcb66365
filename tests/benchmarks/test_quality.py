import json
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from apps.recommender.ml import recency, registry
from apps.recommender.ml.baselines import Ease
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray
from apps.recommender.ml.metadata import Traits
from apps.recommender.ml.model import NO_TRAITS, Model
from benchmarks.protocols import holdout, leave_one_out
from benchmarks.quality import DEFAULT, learnt, main, options_of
from tests.benchmarks.conftest import Files

N = 24


class Fixed(Model):
    """The same scores for everybody."""

    def __init__(self, *scores: float) -> None:
        self._scores = np.array(scores, np.float32)

    def fit(self, data: Dataset, rng: np.random.Generator, *told: object) -> None:
        raise AssertionError("nothing to learn")

    def scores(
        self,
        history_items: IntArray,
        history_weights: FloatArray,
        user_idx: int | None,
        traits: Traits = NO_TRAITS,
    ) -> FloatArray:
        return self._scores


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A checkerboard: each of 24 people took the 12 items of their parity; one line comes twice."""
    pairs = [f"u{user}\ti{item}\t4" for user in range(N) for item in range(user % 2, N, 2)]
    file = tmp_path / "board.inter"
    file.write_text("\n".join(["user_id:token\titem_id:token\trating:float", *pairs, pairs[0]]))
    return file


def test_holdout_keeps_a_quarter_of_each_person_for_the_test(log: Path) -> None:
    task = holdout(log, np.random.default_rng(1))
    assert np.bincount(task.train.train.user_idx).tolist() == [9] * N
    assert len(task.train.test) == 0, "what is learnt from never holds the test"


def test_holdout_measures_what_is_not_in_training(log: Path) -> None:
    task = holdout(log, np.random.default_rng(1))
    (measured,) = task.measures.values()
    # Items come in order of first sight: the 12 of person 0, then those of person 1.
    even_first = measured(Fixed(*range(N, 0, -1)), task.train)
    assert even_first.metrics["recall@10"] == (1 + 0) / 2
    assert len(even_first.ndcg) == N


def test_the_seed_draws_the_split(log: Path) -> None:
    first, same, other = (
        holdout(log, np.random.default_rng(seed)).train.train.item_idx.tolist()
        for seed in (1, 1, 2)
    )
    assert first == same != other


def test_a_tenth_of_training_validates_and_is_not_trained_on(log: Path) -> None:
    task = holdout(log, np.random.default_rng(1))
    tuning = task.with_validation(np.random.default_rng(1))
    assert len(tuning.train) + len(tuning.validation) == len(task.train.train)
    assert 0.02 < len(tuning.validation) / len(task.train.train) < 0.25
    assert not (tuning.matrix(tuning.train).multiply(tuning.matrix(tuning.validation))).nnz


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Person 0 took 0 and 1, then 2; person 1 took 3, then 4."""
    (tmp_path / "tiny.train.rating").write_text("0\t0\t1\n0\t1\t1\n1\t3\t1\n")
    (tmp_path / "tiny.test.rating").write_text("0\t2\t1\n1\t4\t1\n")
    # The first list holds an item that person 0 took, and the positive itself.
    (tmp_path / "tiny.test.negative").write_text("(0,2)\t1\t5\t2\n(1,4)\t0\t5\n")
    return tmp_path


def test_leave_one_out_ranks_the_positive_among_its_negatives(given: Path) -> None:
    task = leave_one_out(given, "tiny")
    raw, masked = (task.measures[name] for name in ("raw", "seen-masked"))
    model = Fixed(0, 9, 5, 0, 8, 1)
    # Raw: item 1 stands before 2, nothing before 4. Masked: person 0 took item 1.
    assert raw(model, task.train).ndcg.tolist() == pytest.approx([1 / np.log2(3), 1])
    assert masked(model, task.train).ndcg.tolist() == [1, 1]
    assert raw(model, task.train).metrics == pytest.approx(
        {
            "ndcg@10": (1 / np.log2(3) + 1) / 2,
            "precision@10": 0.1,
            "recall@10": 1,
            "map@10": (1 / 2 + 1) / 2,
            "hr@10": 1,
        }
    )


@pytest.mark.parametrize("score", [0.0, float("nan")])
def test_equal_or_undefined_scores_never_favour_the_positive(given: Path, score: float) -> None:
    task = leave_one_out(given, "tiny")
    found = task.measures["raw"](Fixed(*[score] * 6), task.train)
    # Two others each, the positive in its own list left out: both stand at rank 3.
    assert found.ndcg.tolist() == pytest.approx([1 / np.log2(4)] * 2)


def test_it_ends_with_one_line_of_json_and_shows_a_table(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["popularite", "ease", DEFAULT]
    asked = ["--seeds", "1", "2", "--models", *models, "--option", f"{DEFAULT}.epochs=1"]
    main(["--protocol=holdout", f"--data={log}", *asked])
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    result = json.loads(line)
    assert (result["protocol"], result["dataset"], result["default"]) == (
        "holdout",
        "board",
        "hybrid",
    )
    assert (result["ids_only"], result["inputs"]) == (False, ["weights"])
    assert list(result["models"]) == list(result["seconds"]) == models
    names = {"ndcg@10", "precision@10", "recall@10", "map@10", "hr@10"}
    assert all(set(metrics) == names for metrics in result["models"].values())
    assert result["models"]["ease"]["ndcg@10"] > result["models"]["popularite"]["ndcg@10"]
    low, high = result["intervals"]["popularite"]
    assert low <= high
    assert set(result["intervals"]) == {"popularite", "ease"}
    for word in ("EASE", "popularité", "NDCG@10", "graine 2"):
        assert word in err


def test_leave_one_out_prints_raw_and_seen_masked(
    log: Path, given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--protocol=leave-one-out", f"--data={given}", "--dataset=tiny"]
    main([*options, "--models", "popularite"])
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["dataset"] == "tiny"
    assert (result["ids_only"], result["inputs"]) == (True, [])
    assert result["seen_masked"]["popularite"]["hr@10"] == 1
    assert "raw" in err
    assert "seen-masked" in err


def test_leave_one_out_without_a_name_is_a_usage_error(given: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--protocol=leave-one-out", f"--data={given}"])


def test_a_model_may_be_given_options(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [
        "neumf.batch_size=64",
        "neumf.epochs=2",
        "neumf.learning_rate=0.01",
        "neumf.pretraining=true",
    ]
    main(["--protocol=holdout", f"--data={log}", "--models", "neumf", "--option", *chosen])
    assert json.loads(capsys.readouterr().out)["options"] == {
        "neumf": {"batch_size": 64, "epochs": 2, "learning_rate": 0.01, "pretraining": True}
    }


@pytest.mark.parametrize("option", ["gmf.epochs=many", "gmf.depth=3", "bert.epochs=3", "epochs=3"])
def test_an_option_that_does_not_exist_is_a_usage_error(log: Path, option: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--protocol=holdout", f"--data={log}", "--option", option])


def test_newcomers_are_measured_beside_the_others(
    board: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["aleatoire", "popularite", "gmf", "hybrid"]
    held_out = ["--held-out-users=.2", "--clicks", "1", "3", "--held-out-items=.2"]
    quick = ["--option", "hybrid.epochs=1", "gmf.epochs=1"]
    main([*board.arguments, *held_out, "--models", *models, *quick])
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["ids_only"], result["inputs"]) == (
        False,
        ["weights", "dates", "traits", "texts"],
    )
    assert set(result["models"]) == set(models)
    by_history = {"aleatoire", "popularite", "hybrid"}
    assert set(result["held_out_users"]) == by_history, "gmf knows nobody without a row"
    found = result["held_out_users"]["hybrid"]
    assert found["share"] == found["ndcg@10"] / found["in_training"]
    assert set(result["clicks"]["hybrid"]) == {"1", "3"}
    assert isinstance(result["clicks"]["popularite"], float)
    assert set(result["held_out_items"]) == by_history
    assert isinstance(result["held_out_items"]["aleatoire"], float)
    assert result["held_out_items"]["hybrid"]["ndcg@10"] > 0.9, "colours tell all"
    for words in ("absents de l'entraînement", "le nombre de leurs clics", "parmi des items"):
        assert words in err


def test_every_model_is_measured_once_the_default_among_them() -> None:
    asked = options_of(["--protocol=holdout", "--data=some.inter"]).models
    assert asked.count(DEFAULT) == 1
    assert len(set(asked)) == len(asked) == len(registry.MODELS)


def test_ids_only_says_so(board: Files, capsys: pytest.CaptureFixture[str]) -> None:
    main([*board.arguments, "--ids-only", "--models", "popularite"])
    result = json.loads(capsys.readouterr().out)
    assert (result["ids_only"], result["inputs"]) == (True, [])
    assert not {"held_out_users", "clicks", "held_out_items"} & set(result)


def test_a_model_learns_twice_and_histories_age_as_what_it_learnt_last(
    board: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    class Told(Ease):
        def fit(self, data: Dataset, rng: np.random.Generator, *others: object) -> None:
            told.append(data)
            super().fit(data, rng)

    monkeypatch.setattr(registry, "build", lambda *given: Told())
    monkeypatch.setattr(recency, "forgetting", lambda data: data.with_half_life(7000.0))
    task = holdout(board.log, np.random.default_rng(1))
    with tqdm(disable=True) as bar:
        _, fitted = learnt("ease", task.train, TrainingConfig(), bar)
    tuning, last = told
    assert (len(tuning.validation) > 0, len(last.validation)) == (True, 0)
    assert tuning.half_life == last.half_life == 7000
    assert fitted is last


@pytest.mark.parametrize(
    "asked",
    [
        ["--clicks", "1"],
        ["--held-out-users=0"],
        ["--held-out-users=1.5"],
        ["--held-out-users=.1", "--clicks", "0"],
        ["--held-out-items=.1"],
        ["--held-out-items=.1", "--items=some.item", "--ids-only"],
    ],
)
def test_what_cannot_be_held_out_is_a_usage_error(log: Path, asked: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--protocol=holdout", f"--data={log}", *asked])


def test_leave_one_out_knows_ids_only(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--protocol=leave-one-out", f"--data={given}", "--dataset=tiny"]
    with pytest.raises(SystemExit, match="2"):
        main([*options, "--held-out-users=.1"])
    assert "holdout" in capsys.readouterr().err
