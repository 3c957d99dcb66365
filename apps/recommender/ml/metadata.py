"""What is known of students and épreuves beside what they did: named values, and words.

A trait is a field (`niveau`) and its values (`("L2",)`, several for a film of two genres). Any
field will do: the models learn what each says, none is named in their code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Traits = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Metadata:
    """By outside id; who is absent has no trait."""

    users: Mapping[int, Traits] = field(default_factory=dict)
    items: Mapping[int, Traits] = field(default_factory=dict)
    texts: Mapping[int, str] = field(default_factory=dict)

    def of_rows(
        self, user_ids: npt.NDArray[np.int64], item_ids: npt.NDArray[np.int64]
    ) -> tuple[tuple[Traits, ...], tuple[Traits, ...], tuple[str, ...]]:
        """user_traits, item_traits and item_texts of a `Dataset`; empty where nothing is known."""
        return (
            tuple(self.users.get(pk, {}) for pk in user_ids.tolist()) if self.users else (),
            tuple(self.items.get(pk, {}) for pk in item_ids.tolist()) if self.items else (),
            tuple(self.texts.get(pk, "") for pk in item_ids.tolist()) if self.texts else (),
        )


NO_METADATA = Metadata()


@dataclass(frozen=True)
class Field:
    """A field and the V values it took in training; a value met later says nothing."""

    name: str
    values: tuple[str, ...]

    def matrix(self, traits: Sequence[Traits]) -> csr_matrix:
        """Who has which value, float32[len(traits), V]; the values of a row share a sum of 1."""
        column = {value: place for place, value in enumerate(self.values)}
        rows, columns, shares = [], [], []
        for row, one in enumerate(traits):
            known = [column[value] for value in one.get(self.name, ()) if value in column]
            rows += [row] * len(known)
            columns += known
            shares += [1 / max(1, len(known))] * len(known)
        cells = np.array(shares, np.float32), (rows, columns)
        return csr_matrix(cells, shape=(len(traits), len(self.values)))


def fields_of(traits: Sequence[Traits]) -> list[Field]:
    """The fields that tell rows apart, by name; one value for all says nothing."""
    values: dict[str, set[str]] = {}
    for one in traits:
        for name, some in one.items():
            values.setdefault(name, set()).update(some)
    return [
        Field(name, tuple(sorted(some))) for name, some in sorted(values.items()) if len(some) > 1
    ]
