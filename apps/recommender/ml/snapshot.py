"""What one training reads, frozen in a folder at its start: Parquet, written and read in slices.

<folder>/interactions.parquet   user_id, item_id, weight, timestamp (seconds)
<folder>/users.parquet          id, value: the traits, as JSON
<folder>/items.parquet          the same of the items
<folder>/texts.parquet          id, value: the words of the items
"""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from apps.recommender.ml import disk
from apps.recommender.ml.data_loader import Interactions
from apps.recommender.ml.metadata import Metadata, Traits

SLICE = 50_000  # rows that are objects of Python or of Arrow at once

INTERACTIONS, USERS, ITEMS, TEXTS = (
    f"{name}.parquet" for name in ("interactions", "users", "items", "texts")
)
_COLUMNS = {"user_id": "int64", "item_id": "int64", "weight": "float32", "timestamp": "int64"}
_SCHEMA = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in _COLUMNS.items()])

Row = tuple[int, int, float, int]  # as _COLUMNS


def write(folder: Path, rows: Iterable[Row], metadata: Metadata) -> None:
    """Whole on the disk, or not there; in place of what was there. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    disk.remove(folder)
    with disk.whole_folder(folder) as aside:
        _write_rows(aside / INTERACTIONS, rows)
        _write_values(aside / USERS, _as_json(metadata.users))
        _write_values(aside / ITEMS, _as_json(metadata.items))
        _write_values(aside / TEXTS, metadata.texts)


def read(folder: Path) -> tuple[Interactions, Metadata]:
    """What was written. Raises OSError and pyarrow.ArrowException."""
    users, items, texts = (_values(folder / name) for name in (USERS, ITEMS, TEXTS))
    metadata = Metadata(_from_json(users), _from_json(items), texts)
    return read_interactions(folder), metadata


def user_ids(folder: Path) -> set[int]:
    """Everybody whom it is about. Raises OSError and pyarrow.ArrowException."""
    everybody = set(pq.read_table(folder / USERS, columns=["id"])["id"].to_pylist())
    with pq.ParquetFile(folder / INTERACTIONS) as file:
        for part in file.iter_batches(SLICE, columns=["user_id"]):
            everybody.update(np.unique(part.columns[0].to_numpy()).tolist())
    return everybody


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    rows = iter(rows)
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        while part := list(islice(rows, SLICE)):
            columns = [list(column) for column in zip(*part, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))


def read_interactions(folder: Path) -> Interactions:
    """The same, without what is known of users and items."""
    with pq.ParquetFile(folder / INTERACTIONS) as file:
        columns = [np.empty(file.metadata.num_rows, kind) for kind in _COLUMNS.values()]
        start = 0
        for part in file.iter_batches(SLICE):
            for column, values in zip(columns, part.columns, strict=True):
                column[start : start + len(part)] = values.to_numpy()
            start += len(part)
    return Interactions(*columns)


def _write_values(path: Path, values: Mapping[int, str]) -> None:
    ids, words = pa.array(values.keys(), pa.int64()), pa.array(values.values(), pa.string())
    pq.write_table(pa.table({"id": ids, "value": words}), path, compression="zstd")


def _values(path: Path) -> dict[int, str]:
    table = pq.read_table(path)
    return dict(zip(table["id"].to_pylist(), table["value"].to_pylist(), strict=True))


def _as_json(traits: Mapping[int, Traits]) -> dict[int, str]:
    return {pk: json.dumps(one, ensure_ascii=False) for pk, one in traits.items()}


def _from_json(values: Mapping[int, str]) -> dict[int, Traits]:
    """Those who are alike share one object: there are few kinds of students, and many students."""
    kinds = {value: _traits(json.loads(value)) for value in set(values.values())}
    return {pk: kinds[value] for pk, value in values.items()}


def _traits(lists: Mapping[str, list[Any]]) -> Traits:
    return {name: tuple(values) for name, values in lists.items()}
