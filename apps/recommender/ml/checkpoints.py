"""Where a training stands, on the disk: stopped there, it goes on to the same weights, bit for bit.

    <name>.point    SHA-256 (hex) of the rest, a new line, then safetensors

One of its arrays is JSON: the values, and what the training was asked to do with which data.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors
from torch import Tensor

from apps.recommender.ml import disk

_VALUES = "values"
_HEX = 64


@dataclass(frozen=True)
class Point:
    """Tensors by name, and values that JSON takes."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors of that prefix, without it."""
        start = f"{prefix}."
        return {
            name[len(start) :]: tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


class Checkpoints:
    """Keeps nothing: for who trains in one go."""

    def named(self, name: str) -> "Checkpoints":
        """Those of one part of a training."""
        return self

    def load(self) -> Point | None:
        """Where it stood; None where it has to begin."""
        return None

    def save(self, point: Callable[[], Point]) -> None:
        """Keep `point()` in place of the one before, if enough time has passed since."""


NONE = Checkpoints()


class OnDisk(Checkpoints):
    """In a folder that is there; neither a bad file nor a full disk ends the training.

    identity: what must not have changed since, JSON-ready. on_fault is told what went wrong.
    """

    EVERY_SECONDS: ClassVar[float] = 5  # an epoch that is quicker is quickly done again

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        *,
        on_fault: Callable[[str], object],
        name: str = "",
    ) -> None:
        self._folder, self._identity, self._on_fault = folder, dict(identity), on_fault
        self._name = name
        self._saved_at = time.monotonic()

    def named(self, name: str) -> "OnDisk":
        """Those of one part of a training, in a file of its own."""
        full = f"{self._name}-{name}" if self._name else name
        return OnDisk(self._folder, self._identity, on_fault=self._on_fault, name=full)

    def load(self) -> Point | None:
        """Where it stood; a file that is not whole, or another training's, is refused in words."""
        try:
            return self._read(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except disk.FAULTS as fault:
            self._on_fault(f"point de reprise {self._name} refusé, tout est refait ({fault})")
            return None

    def save(self, point: Callable[[], Point]) -> None:
        """Keep `point()`, written aside, flushed, renamed."""
        if time.monotonic() - self._saved_at < self.EVERY_SECONDS:
            return
        try:
            disk.replace_file(self._path, self._written(point()))
        except OSError as fault:
            self._on_fault(f"point de reprise {self._name} non écrit ({fault})")
        self._saved_at = time.monotonic()

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._name}.point"

    def _written(self, point: Point) -> bytes:
        text = json.dumps({"identity": self._identity, "values": point.values}, allow_nan=False)
        arrays = {name: tensor.cpu().numpy() for name, tensor in point.tensors.items()}
        arrays[_VALUES] = np.frombuffer(text.encode(), np.uint8)
        content: bytes = write_tensors(arrays)
        return hashlib.sha256(content).hexdigest().encode() + b"\n" + content

    def _read(self, raw: bytes) -> Point:
        seal, content = raw[:_HEX], raw[_HEX + 1 :]
        if hashlib.sha256(content).hexdigest().encode() != seal:
            raise ValueError("il a changé depuis son écriture")
        arrays = read_tensors(content)
        said = json.loads(arrays.pop(_VALUES).tobytes())
        if said["identity"] != self._identity:
            raise ValueError("il vient d'autres données ou d'autres réglages")
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        return Point(tensors, said["values"])


# --- What both trainers keep ---------------------------------------------------------------


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As `Point.under` finds them."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Its tensors, by parameter and name, for `restore_optimizer`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{name}": tensor
        for number, tensors in state.items()
        for name, tensor in tensors.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, point: Point) -> None:
    """Put them back; the learning rate is its owner's."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in point.under("optimizer").items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
