"""What can go wrong in `ml`; each message is a French sentence an operator can act on."""


class MlError(Exception):
    """Any expected failure of the recommender."""


class TooFewInteractions(MlError):
    """The log cannot be split, trained on and evaluated."""


class TrainingDiverged(MlError):
    """The loss became NaN or infinite."""


class DeviceUnavailable(MlError):
    """The asked-for device is not on this machine."""


class PeerLost(MlError):
    """Another process of the same training ended, or is frozen."""

    def __init__(self) -> None:
        super().__init__(
            "Un autre processus de cet entraînement s'est arrêté ou ne répond plus, ou torchrun "
            "lui-même : cherchez pourquoi dans ses messages, puis reprenez."
        )


class OptionsOutdated(MlError):
    """The options of a run that has waited are none of today's."""


class UnknownArchitecture(MlError):
    """The name is not in the registry of architectures."""


class InvalidVersion(MlError):
    """The version cannot be the name of a folder of our own."""


class VersionExists(MlError):
    """A model of that version is already on disk; it is never overwritten."""


class CorruptArtifact(MlError):
    """The files of a model are not those that were written."""


class UnknownUser(MlError):
    """The model knows students by their row alone, and this one has none."""


class UnknownModel(MlError):
    """The name is not in the registry of models."""
