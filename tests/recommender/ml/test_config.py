import subprocess
import sys

import pytest

from apps.recommender.ml.config import ModelConfig, TrainingConfig
from apps.recommender.ml.errors import UnknownArchitecture


def test_the_defaults_are_those_that_were_asked_for() -> None:
    config = TrainingConfig()
    assert (config.epochs, config.batch_size, config.embedding_dim) == (50, 256, 64)
    assert (config.learning_rate, config.device, config.negative_samples) == (0.001, "cpu", 4)
    assert config.architecture == "hybrid"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("batch_size", -256),
        ("embedding_dim", 0),
        ("embedding_dim", 100_000),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("device", "tpu"),
        ("negative_samples", 0),
        ("seed", -1),
    ],
)
def test_a_value_out_of_range_is_refused_and_its_option_named(option: str, value: object) -> None:
    with pytest.raises(
        ValueError, match=rf"^{option.replace('_', '-')} vaut .* : donnez "
    ) as error:
        TrainingConfig(**{option: value})  # type: ignore[arg-type]
    assert str(value) in str(error.value)


def test_a_hybrid_draws_no_more_negatives_than_it_has_candidates() -> None:
    assert TrainingConfig(negative_samples=300).negative_samples == 300
    assert TrainingConfig("neumf", negative_samples=301).negative_samples == 301
    with pytest.raises(ValueError, match=r"negative-samples vaut 301 : .* de 1 à 300"):
        TrainingConfig(negative_samples=301)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(UnknownArchitecture, match="bert"):
        TrainingConfig(architecture="bert")


def test_a_network_is_asked_for_by_its_branches() -> None:
    with pytest.raises(UnknownArchitecture, match=r"hybrid : choisissez parmi gmf, mlp, neumf\.$"):
        ModelConfig("hybrid", 3, 3, 8)


def test_a_model_of_no_user_is_refused() -> None:
    with pytest.raises(ValueError, match="n-users"):
        ModelConfig("gmf", 0, 3, 8)


def imported_by(*modules: str) -> set[str]:
    """What a fresh interpreter, without Django settings, has loaded after importing them."""
    names = ", ".join(f"apps.recommender.ml.{module}" for module in modules)
    code = f"import sys, {names}; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={}
    )
    return {name.partition(".")[0] for name in found.stdout.split()}


def test_the_options_are_readable_without_torch() -> None:
    assert imported_by("config", "architectures", "errors").isdisjoint({"torch", "numpy", "django"})


def test_everything_imports_without_django() -> None:
    loaded = imported_by("trainer", "evaluation", "baselines", "predictor", "content")
    assert "torch" in loaded
    assert loaded.isdisjoint({"django", "rest_framework", "config"})
