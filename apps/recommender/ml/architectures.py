"""The names of the architectures, and which branches of `ncf_model` each network fuses.

No torch here, so that the command line can list the names at no cost.
"""

from apps.recommender.ml.errors import UnknownArchitecture

HYBRID = "hybrid"

# HYBRID has no branch: its parts are in `hybrid`.
ARCHITECTURES: dict[str, tuple[str, ...]] = {
    "gmf": ("gmf",),
    "mlp": ("mlp",),
    "neumf": ("gmf", "mlp"),
}


def require_known(name: str) -> None:
    """Raise UnknownArchitecture, naming the known ones."""
    _require_among((*ARCHITECTURES, HYBRID), name)


def require_network(name: str) -> None:
    """The same for those of `ncf_model`, which have branches."""
    _require_among(tuple(ARCHITECTURES), name)


def _require_among(known: tuple[str, ...], name: str) -> None:
    if name not in known:
        raise UnknownArchitecture(
            f"architecture vaut {name} : choisissez parmi {', '.join(known)}."
        )
