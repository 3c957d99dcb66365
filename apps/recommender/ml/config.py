"""The options of a model and of its training: plain values, importable without torch."""

from dataclasses import dataclass

from apps.recommender.ml.architectures import HYBRID, require_known, require_network

SEED = 42
# Best épreuves of a student that a hybrid learns from; its negatives are drawn among them.
CANDIDATES = 300


class InvalidOption(ValueError):
    """A value that no model or training can have; `option` is its field."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def _require(valid: bool, option: str, value: object, expected: str) -> None:
    if not valid:
        name = option.replace("_", "-")
        raise InvalidOption(option, f"{name} vaut {value} : donnez {expected}.")


# The least and the most that a whole number may be.
BOUNDS = {
    "epochs": (1, 10_000),
    "batch_size": (1, 2**24),
    "embedding_dim": (1, 1024),
    "negative_samples": (1, 1000),
    "seed": (0, 2**63 - 1),
}
DEVICES = ("cpu", "cuda")


def _require_within_bounds(option: str, value: int) -> None:
    least, most = BOUNDS[option]
    _require(least <= value <= most, option, value, f"un entier de {least} à {most}")


@dataclass(frozen=True)
class ModelConfig:
    """Name and sizes of a model; `embedding_dim` is D, of each branch.

    Raises InvalidOption (French, naming the option) and UnknownArchitecture.
    """

    architecture: str
    n_users: int
    n_items: int
    embedding_dim: int

    def __post_init__(self) -> None:
        require_network(self.architecture)
        _require(self.n_users >= 1, "n_users", self.n_users, "un entier d'au moins 1")
        _require(self.n_items >= 1, "n_items", self.n_items, "un entier d'au moins 1")
        _require_within_bounds("embedding_dim", self.embedding_dim)


@dataclass(frozen=True)
class TrainingConfig:
    """The options of `train_model`; `batch_size` counts rows (user, item, label), negatives too.

    Raises InvalidOption (French, naming the option) and UnknownArchitecture.
    """

    architecture: str = HYBRID
    epochs: int = 50
    batch_size: int = 256
    embedding_dim: int = 64
    learning_rate: float = 0.001
    device: str = "cpu"
    negative_samples: int = 4
    seed: int = SEED
    pretraining: bool = False

    def __post_init__(self) -> None:
        require_known(self.architecture)
        for option in BOUNDS:
            _require_within_bounds(option, getattr(self, option))
        _require(
            0 < self.learning_rate <= 1,  # NaN fails both comparisons
            "learning_rate",
            self.learning_rate,
            "un nombre plus grand que 0 et d'au plus 1",
        )
        _require(self.device in DEVICES, "device", self.device, " ou ".join(DEVICES))
        if self.architecture == HYBRID and self.negative_samples > CANDIDATES:
            raise InvalidOption(
                "negative_samples",
                f"negative-samples vaut {self.negative_samples} : hybrid tire ses négatifs de "
                f"{CANDIDATES} candidats, donnez un entier de 1 à {CANDIDATES}.",
            )
        if self.pretraining and self.architecture != "neumf":
            raise InvalidOption(
                "pretraining",
                f"pretraining ne vaut que pour neumf, pas pour {self.architecture} : "
                "retirez l'option ou choisissez l'architecture neumf.",
            )
