"""The registry of architectures: which branches of `ncf_model` each one fuses.

No torch here, so that the command line can list the names at no cost.
"""

from apps.recommender.ml.errors import UnknownArchitecture

HYBRID = "hybrid"

ARCHITECTURES: dict[str, tuple[str, ...]] = {
    "gmf": ("gmf",),
    "mlp": ("mlp",),
    "neumf": ("gmf", "mlp"),
    HYBRID: (),
}


def require_known(name: str) -> None:
    """Raise UnknownArchitecture, naming the known ones."""
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnknownArchitecture(f"architecture vaut {name} : choisissez parmi {known}.")
