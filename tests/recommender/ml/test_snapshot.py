import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from apps.recommender.ml import snapshot
from apps.recommender.ml.data_loader import Interactions
from apps.recommender.ml.metadata import Metadata

METADATA = Metadata(
    users={3: {"filiere": ("MATH",), "niveau": ("L2",)}, 4: {"filiere": ("MATH",)}, 9: {}},
    items={70: {"genre": ("comédie", "drame")}},
    texts={70: "équations différentielles", 71: ""},
)


def drawn(n: int) -> Interactions:
    rng = np.random.default_rng(5)
    users, items = np.divmod(rng.permutation(4 * n)[:n], 7)
    year = int(dt.timedelta(days=365).total_seconds())
    # Ids and dates beyond 32 bits.
    return Interactions(
        users + 2**40, items, rng.integers(1, 5, n).astype("f4"), 2**32 + rng.integers(0, year, n)
    )


def rows_of(log: Interactions) -> Iterator[snapshot.Row]:
    columns = (log.user_ids, log.item_ids, log.weights, log.timestamps)
    return zip(*(column.tolist() for column in columns), strict=True)


@pytest.mark.parametrize("n", [0, 1, snapshot.SLICE, snapshot.SLICE + 3])
def test_what_is_read_is_what_was_written(tmp_path: Path, n: int) -> None:
    log = drawn(n)
    snapshot.write(tmp_path / "run", rows_of(log), METADATA)
    read, metadata = snapshot.read(tmp_path / "run")
    assert len(read) == n
    assert read.fingerprint() == log.fingerprint()
    assert [one.dtype.name for one in vars(read).values()] == ["int64", "int64", "float32", "int64"]
    assert metadata == METADATA


def test_those_who_are_alike_share_one_object(tmp_path: Path) -> None:
    traits = {pk: {"niveau": ("L2",)} for pk in range(100)}
    snapshot.write(tmp_path / "run", (), Metadata(users=traits))
    _, metadata = snapshot.read(tmp_path / "run")
    assert len({id(one) for one in metadata.users.values()}) == 1


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[snapshot.Row]:
        yield from rows_of(drawn(3))
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        snapshot.write(tmp_path / "run", broken(), METADATA)
    assert list(tmp_path.iterdir()) == []


def test_a_second_writing_takes_the_place_of_the_first(tmp_path: Path) -> None:
    for n in (3, 5):
        snapshot.write(tmp_path / "run", rows_of(drawn(n)), METADATA)
    assert len(snapshot.read(tmp_path / "run")[0]) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
