"""Public files in embedding rows: RecBole's atomic files, and those of the NCF paper.

What else than ids a file of RecBole knows is read by the form of its columns, never by their names:
numbers are cut into classes, a sequence of words that hardly ever comes twice is a title, another
one is several values, and what hardly ever comes twice otherwise (a zip code) tells nothing.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from apps.recommender.ml.data_loader import Dataset, Pairs
from apps.recommender.ml.metadata import Traits

NOTHING = Pairs(np.empty(0, np.int64), np.empty(0, np.int64))
FEW, CLASSES = 12, 8  # more numbers than FEW become so many classes
MISPRINTS = 0.01  # of the lines, that are no number in a column of numbers ("unkonwn")
TOO_MANY = 1 / 3  # distinct values, of the lines

Values = list[tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """What a `.item` or `.user` says, by the id in its first column."""

    traits: Mapping[str, Traits] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def read_table(file: Path) -> Table:
    """Traits and words of a tab-separated file with typed headers (`class:token_seq`)."""
    table = _read(file)
    ids = table.iloc[:, 0].tolist()
    traits: dict[str, dict[str, tuple[str, ...]]] = {one: {} for one in ids}
    words: list[list[str]] = [[] for _ in ids]
    for header in table.columns[1:]:
        name, _, kind = header.partition(":")
        if kind == "token_seq" and _is_told_by_line(table[header]):
            for title, text in zip(words, table[header].str.lower(), strict=True):
                title.append(text)
            continue
        for one, values in zip(ids, _values(table[header], kind), strict=True):
            if values:
                traits[one][name] = values
    texts = {one: " ".join(title) for one, title in zip(ids, words, strict=True) if any(title)}
    return Table(traits if any(traits.values()) else {}, texts)


def _values(column: "pd.Series[str]", kind: str) -> Values:
    """One tuple a line; all empty for a column that tells nothing."""
    if kind == "token_seq":
        return [tuple(dict.fromkeys(text.split())) for text in column]
    given = column[column != ""]
    numbers = pd.to_numeric(column, errors="coerce")
    mostly = numbers[given.index].isna().sum() <= MISPRINTS * len(given)
    if mostly and numbers.nunique() > FEW:
        classes = pd.qcut(numbers, CLASSES, duplicates="drop").astype(object)
        return [() if pd.isna(one) else (str(one),) for one in classes]
    if kind.endswith("_seq") or _is_told_by_line(column):
        return [()] * len(column)
    return [(value,) if value else () for value in column]


def _is_told_by_line(column: "pd.Series[str]") -> bool:
    return column.nunique() > TOO_MANY * len(column)


def read_log(
    file: Path, *, items: Path | None = None, users: Path | None = None, ids_only: bool = False
) -> Dataset:
    """`user_id`, `item_id`, and `rating`, `timestamp` where they are; everything in training.

    A pair that comes twice counts once, as it came first. ids_only: two columns, no other file.
    """
    log = _read(file).rename(columns=lambda name: name.split(":")[0])
    log = log.drop_duplicates(["user_id", "item_id"])
    user_idx, user_ids = pd.factorize(log["user_id"])
    item_idx, item_ids = pd.factorize(log["item_id"])
    known = () if ids_only else set(log.columns)
    weights = log["rating"].to_numpy(np.float32) if "rating" in known else None
    seconds = log["timestamp"].astype(float) if "timestamp" in known else None
    pairs = Pairs(
        user_idx.astype(np.int64),
        item_idx.astype(np.int64),
        weights,
        None if seconds is None else seconds.to_numpy().astype(np.int64),
    )
    of_users = read_table(users) if users and not ids_only else Table()
    of_items = read_table(items) if items and not ids_only else Table()
    return Dataset(
        np.arange(len(user_ids)),
        np.arange(len(item_ids)),
        pairs,
        NOTHING,
        NOTHING,
        tuple(of_users.traits.get(one, {}) for one in user_ids) if of_users.traits else (),
        tuple(of_items.traits.get(one, {}) for one in item_ids) if of_items.traits else (),
        tuple(of_items.texts.get(one, "") for one in item_ids) if of_items.texts else (),
    )


def inputs(data: Dataset) -> list[str]:
    """What a log holds beside ids."""
    held = {
        "weights": data.train.weights is not None,
        "dates": data.train.timestamps is not None,
        "traits": bool(data.user_traits or data.item_traits),
        "texts": bool(data.item_texts),
    }
    return [name for name, there in held.items() if there]


def _read(file: Path) -> pd.DataFrame:
    # A title may hold a quotation mark; no field is quoted.
    return pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE)


def read_ratings(file: Path) -> Pairs:
    """`NAME.train.rating`: user and item, whatever follows."""
    columns = pd.read_csv(file, sep="\t", header=None, usecols=[0, 1]).drop_duplicates()
    return Pairs(*(columns[place].to_numpy(np.int64) for place in (0, 1)))


def read_negatives(file: Path) -> Iterator[list[int]]:
    """`NAME.test.negative`: the items of each line, without the pair that opens it."""
    for line in file.read_text(encoding="utf-8").splitlines():
        yield [int(item) for item in line.split("\t")[1:] if item]
