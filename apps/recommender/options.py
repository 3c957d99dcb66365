"""The options of a training, as the command line, the administration and the API offer them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from apps.recommender.ml.architectures import ARCHITECTURES, HYBRID
from apps.recommender.ml.config import BOUNDS, DEVICES, InvalidOption, TrainingConfig
from apps.recommender.ml.errors import UnknownArchitecture

CHOICES: dict[str, tuple[str, ...]] = {
    "architecture": (HYBRID, *reversed(ARCHITECTURES)),
    "device": DEVICES,
}
WORDS = {
    "architecture": ("Architecture", "hybrid, la plus juste, ou gmf, mlp, neumf"),
    "epochs": ("Epochs", "nombre d'epochs au plus ; l'arrêt précoce en fait souvent moins"),
    "batch_size": (
        "Taille de lot",
        "paires par lot (hybrid), ou lignes, négatifs compris (gmf, mlp, neumf)",
    ),
    "embedding_dim": (
        "Dimension",
        "dimension des facteurs (hybrid), ou des embeddings de chaque branche",
    ),
    "learning_rate": (
        "Taux d'apprentissage",
        "taux d'apprentissage ; gmf, mlp et neumf le réduisent sur un plateau",
    ),
    "device": ("Appareil", "cpu ou cuda"),
    "negative_samples": ("Négatifs", "échantillons négatifs par positif"),
    "seed": ("Graine", "la même donne les mêmes poids sur CPU"),
    "pretraining": (
        "Préentraînement",
        "pour neumf seulement : entraîner d'abord seules ses parties, gmf puis mlp",
    ),
}


@dataclass(frozen=True)
class Option:
    """A field of TrainingConfig in words; bounds and choices, where it has any."""

    name: str
    label: str
    help: str
    default: Any
    bounds: tuple[int, int] | None
    choices: tuple[str, ...]


def _described() -> Iterator[Option]:
    for field in fields(TrainingConfig):
        yield Option(
            field.name,
            *WORDS[field.name],
            field.default,
            BOUNDS.get(field.name),
            CHOICES.get(field.name, ()),
        )


OPTIONS = tuple(_described())


class OptionRefused(Exception):
    """A value that makes no sense; `option` is its field, the message says what to give."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def training_config(values: Mapping[str, Any]) -> TrainingConfig:
    """Of those that are options; raises OptionRefused."""
    given = {option.name: values[option.name] for option in OPTIONS if option.name in values}
    try:
        return TrainingConfig(**given)
    except InvalidOption as error:
        raise OptionRefused(error.option, str(error)) from None
    except UnknownArchitecture as error:
        raise OptionRefused("architecture", str(error)) from None
