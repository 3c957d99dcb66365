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
    "architecture": ("Architecture", "la plus juste, hybrid, ou gmf, mlp, neumf"),
    "epochs": (
        "Epochs",
        "passages sur les données, au plus ; l'arrêt précoce en fait souvent moins",
    ),
    "batch_size": (
        "Taille de lot",
        "exemples lus avant chaque correction du modèle : paires (hybrid), ou lignes, négatifs "
        "compris (gmf, mlp, neumf)",
    ),
    "embedding_dim": (
        "Dimension",
        "combien de nombres décrivent chaque étudiant et chaque épreuve : facteurs (hybrid), ou "
        "embeddings de chaque branche",
    ),
    "learning_rate": (
        "Taux d'apprentissage",
        "ampleur de chaque correction : plus petit, plus lent et plus stable ; gmf, mlp et neumf "
        "le réduisent sur un plateau",
    ),
    "device": (
        "Appareil",
        "le processeur, cpu, ou la carte NVIDIA de la machine qui entraîne, cuda, si elle en a une",
    ),
    "negative_samples": (
        "Négatifs",
        "épreuves que l'étudiant n'a pas prises, tirées pour chacune de celles qu'il a prises",
    ),
    "seed": ("Graine", "départ du hasard : la même donne les mêmes poids sur CPU"),
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
