"""The options of a model and of its training: plain values, importable without torch."""

from dataclasses import dataclass

from apps.recommender.ml.architectures import HYBRID, require_known, require_network

SEED = 42
MAX_EMBEDDING_DIM = 1024


def _require(valid: bool, option: str, value: object, expected: str) -> None:
    if not valid:
        raise ValueError(f"{option} vaut {value} : donnez {expected}.")


@dataclass(frozen=True)
class ModelConfig:
    """Name and sizes of a model; `embedding_dim` is D, of each branch.

    Raises ValueError (French, naming the option) and UnknownArchitecture.
    """

    architecture: str
    n_users: int
    n_items: int
    embedding_dim: int

    def __post_init__(self) -> None:
        require_network(self.architecture)
        _require(self.n_users >= 1, "n_users", self.n_users, "un entier d'au moins 1")
        _require(self.n_items >= 1, "n_items", self.n_items, "un entier d'au moins 1")
        _require_dim(self.embedding_dim)


@dataclass(frozen=True)
class TrainingConfig:
    """The options of `train_model`; `batch_size` counts rows (user, item, label), negatives too.

    Raises ValueError (French, naming the option) and UnknownArchitecture.
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
        _require(1 <= self.epochs <= 10_000, "epochs", self.epochs, "un entier de 1 à 10000")
        _require(
            1 <= self.batch_size <= 2**24,
            "batch-size",
            self.batch_size,
            "un entier de 1 à 16777216",
        )
        _require_dim(self.embedding_dim)
        _require(
            0 < self.learning_rate <= 1,  # NaN fails both comparisons
            "learning-rate",
            self.learning_rate,
            "un nombre plus grand que 0 et d'au plus 1",
        )
        _require(self.device in {"cpu", "cuda"}, "device", self.device, "cpu ou cuda")
        _require(
            1 <= self.negative_samples <= 1000,
            "negative-samples",
            self.negative_samples,
            "un entier de 1 à 1000",
        )
        _require(0 <= self.seed < 2**63, "seed", self.seed, "un entier de 0 à 2^63 - 1")
        if self.pretraining and self.architecture != "neumf":
            raise ValueError(
                f"pretraining ne vaut que pour neumf, pas pour {self.architecture} : "
                "retirez l'option ou donnez --architecture neumf."
            )


def _require_dim(value: int) -> None:
    expected = f"un entier de 1 à {MAX_EMBEDDING_DIM}"
    _require(1 <= value <= MAX_EMBEDDING_DIM, "embedding-dim", value, expected)
