"""Every model by its name: the baselines and the architectures of NCF.

The contract tests, the references of a training and the benchmarks go over this registry.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from apps.recommender.ml.architectures import ARCHITECTURES, HYBRID
from apps.recommender.ml.baselines import BASELINES
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.data_loader import Dataset
from apps.recommender.ml.errors import UnknownModel
from apps.recommender.ml.evaluation import Evaluation, evaluate_model
from apps.recommender.ml.hybrid import Hybrid
from apps.recommender.ml.model import Model, Servable
from apps.recommender.ml.ncf import Ncf

MODELS = (*BASELINES, *ARCHITECTURES, HYBRID)


def build(name: str, config: TrainingConfig) -> Model:
    """The model of that name, not fitted; a baseline takes no option. Raises UnknownModel."""
    if name in BASELINES:
        return BASELINES[name]()
    if name in MODELS:
        return of_architecture(replace(config, architecture=name))
    raise UnknownModel(f"Le modèle {name} est inconnu : choisissez parmi {', '.join(MODELS)}.")


def of_architecture(config: TrainingConfig) -> Servable:
    """The model that `config` asks for, not fitted."""
    return Hybrid(config) if config.architecture == HYBRID else Ncf(config)


def config_of(name: str, **options: Any) -> TrainingConfig:
    """Options for the model of that name; raises ValueError for one that it cannot use."""
    if name in BASELINES:
        return TrainingConfig(**options)
    return TrainingConfig(architecture=name, **options)


def restore(name: str, arrays: Mapping[str, Any], values: Mapping[str, Any]) -> Servable:
    """The model that `Servable.tensors` described; raises UnknownModel for what is never saved."""
    if name == HYBRID:
        return Hybrid.restored(arrays, values)
    if name in ARCHITECTURES:
        return Ncf.restored(arrays, values)
    raise UnknownModel(f"Un modèle {name} ne se recharge pas.")


def evaluate_baselines(dataset: Dataset, *, seed: int) -> dict[str, Evaluation]:
    """Fit each baseline, with a generator of `seed` each, and measure it on the test part."""
    evaluations = {}
    for name, baseline in BASELINES.items():
        model = baseline()
        model.fit(dataset, np.random.default_rng(seed))
        evaluations[name] = evaluate_model(model, dataset, seed=seed)
    return evaluations
