"""How long does one student's top 10 take, and how much memory, as the catalogue grows?

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.scoring   a bank of `generate_data`
    … --data ml-100k.inter                                the training part of a real log

NeuMF (D = 64) is trained for a few epochs, then its catalogue becomes 150 to 1,000,000 items: rows
of trained items drawn again, with a noise of a tenth of the standard deviation of each column, so
that neighbours are hard to tell apart. One thread; medians over students, in milliseconds:

`naive`      every pair through the network;
`exact`      the first layer split, the items' half computed once (`NCFScorer`);
`two_stage`  a short vector per item finds C candidates, the network ranks them (`Shortlist`).

C is the smallest of a list that finds .995 of the exact ten on some students; the recall shown is
measured on 200 others. MB are those of the tensors that each way keeps, the network included. The
table goes to stderr, one line of JSON to stdout.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from apps.recommender.ml import trainer
from apps.recommender.ml.config import SEED, ModelConfig, TrainingConfig
from apps.recommender.ml.data_loader import Dataset, FloatArray, IntArray, Pairs
from apps.recommender.ml.model import NO_ITEMS, NO_WEIGHTS
from apps.recommender.ml.ncf_model import NCF, NCFScorer
from apps.recommender.ml.synthetic import generate
from benchmarks.protocols import holdout
from benchmarks.public_data import NOTHING
from benchmarks.retrieval import WIDTH, Shortlist, best

K = 10
SIZES = (150, 10_000, 100_000, 1_000_000)
CANDIDATES = (100, 300, 1000, 3000, 5000, 10_000, 30_000)
WANTED_RECALL = 0.995
CHOOSERS, MEASURED = 40, 200  # students
NOISE = 0.1
EPOCHS = 5

Top = Callable[[int], IntArray]


@dataclass(frozen=True)
class Cost:
    """Median milliseconds of one top 10, and megabytes kept."""

    ms: float
    mb: float


@dataclass(frozen=True)
class Figures:
    naive: Cost
    exact: Cost
    two_stage: Cost
    candidates: int
    recall: float


def trained(log: Dataset) -> NCF:
    config = TrainingConfig("neumf", batch_size=1024, learning_rate=0.002, epochs=EPOCHS)
    return trainer.refit(log, config, trainer.whole_plan(config))


def demonstration() -> Dataset:
    """The bank that `generate_data` makes, each pair once."""
    bank = generate()
    n_users, n_items = len(bank.students), len(bank.papers)
    cells = np.unique(bank.events.user_idx * n_items + bank.events.item_idx)
    pairs = Pairs(*np.divmod(cells, n_items))
    return Dataset(np.arange(n_users), np.arange(n_items), pairs, NOTHING, NOTHING)


def enlarged(network: NCF, n_items: int) -> NCF:
    """The same students before `n_items` items, drawn from the trained ones."""
    generator = torch.Generator().manual_seed(SEED)
    sizes = network.config
    drawn = torch.randint(sizes.n_items, (n_items,), generator=generator)
    weights = network.state_dict()
    for name in [name for name in weights if name.endswith("items.weight")]:
        trained_rows = weights[name]
        noise = torch.randn(n_items, trained_rows.shape[1], generator=generator)
        weights[name] = trained_rows[drawn] + NOISE * trained_rows.std(dim=0) * noise
    larger = NCF(ModelConfig(sizes.architecture, sizes.n_users, n_items, sizes.embedding_dim))
    larger.load_state_dict(weights)
    return larger


def measure(network: NCF, seconds: float) -> Figures:
    """The three ways on one catalogue; each is timed for about `seconds`."""
    scorer, n_items = NCFScorer(network), network.config.n_items
    every_item = torch.arange(n_items)
    users = np.random.default_rng(SEED).permutation(network.config.n_users)
    choosers, measured = users[:CHOOSERS], users[CHOOSERS:][:MEASURED]

    def naive(user: int) -> IntArray:
        with torch.inference_mode():
            logits: FloatArray = network(torch.full_like(every_item, user), every_item).numpy()
        return best(logits, K)

    def exact(user: int) -> IntArray:
        return best(scorer.scores(NO_ITEMS, NO_WEIGHTS, user), K)

    shortlist, candidates = _shortlist(network, exact, choosers)
    weights, halves, short = _megabytes(network, n_items)
    return Figures(
        naive=Cost(_p50(naive, measured, seconds), weights),
        exact=Cost(_p50(exact, measured, seconds), weights + halves),
        two_stage=Cost(_p50(_top_of(shortlist), measured, seconds), weights + halves + short),
        candidates=candidates,
        recall=_recall(_top_of(shortlist), exact, measured),
    )


def _shortlist(network: NCF, exact: Top, choosers: IntArray) -> tuple[Shortlist, int]:
    wanted = [exact(user) for user in choosers.tolist()]
    sizes = [size for size in CANDIDATES if size < network.config.n_items]
    for size in sizes:
        shortlist = Shortlist(network, size=size)
        found = [_top_of(shortlist)(user) for user in choosers.tolist()]
        if _share(found, wanted) >= WANTED_RECALL:
            return shortlist, size
    return Shortlist(network, size=network.config.n_items), network.config.n_items


def _top_of(shortlist: Shortlist) -> Top:
    return lambda user: shortlist.top(user, K)[0]


def _recall(found: Top, exact: Top, users: IntArray) -> float:
    return _share(
        [found(user) for user in users.tolist()], [exact(user) for user in users.tolist()]
    )


def _share(found: list[IntArray], wanted: list[IntArray]) -> float:
    return float(np.mean([np.isin(w, f).mean() for f, w in zip(found, wanted, strict=True)]))


def _p50(top: Top, users: IntArray, seconds: float) -> float:
    top(int(users[0]))  # the first call pays for what is then kept
    times: list[float] = []
    while sum(times) < seconds:
        started = time.perf_counter()
        top(int(users[len(times) % len(users)]))
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def _megabytes(network: NCF, n_items: int) -> tuple[float, float, float]:
    """Of the weights, of the items' halves that are not weights themselves, of short vectors."""
    owned = {weight.data_ptr() for weight in network.parameters()}
    with torch.inference_mode():
        halves = [half for half in network.item_halves() if half.data_ptr() not in owned]
    kept = (
        sum(weight.nbytes for weight in network.parameters()),
        sum(half.nbytes for half in halves),
        4 * WIDTH * n_items,
    )
    weights, split, short = (size / 1e6 for size in kept)
    return weights, split, short


def table(found: dict[int, Figures]) -> str:
    titles = ("naïf", "exact", "2 étapes")
    head = "".join(f"{f'{title}, ms':>14}{f'{title}, Mo':>14}" for title in titles)
    lines = [f"{'épreuves':>10}{head}{'candidates':>12}{'rappel@10':>11}"]
    for size, figures in found.items():
        costs = (figures.naive, figures.exact, figures.two_stage)
        cells = "".join(f"{cost.ms:>14.3f}{cost.mb:>14.1f}" for cost in costs)
        lines.append(f"{size:>10}{cells}{figures.candidates:>12}{figures.recall:>11.4f}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring",
        description="Mesure la note du catalogue d'un étudiant.",
    )
    parser.add_argument("--data", type=Path, help="fichier .inter (défaut : banque d'essai)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="nombres d'épreuves")
    parser.add_argument(
        "--seconds", type=float, default=3, help="par mesure (défaut : %(default)s)"
    )
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    if options.data:
        log = holdout(options.data, np.random.default_rng(SEED)).train
    else:
        log = demonstration()
    network = trained(log)
    found = {size: measure(enlarged(network, size), options.seconds) for size in options.sizes}
    print(table(found), file=sys.stderr)
    result = {
        "exact_ms": {size: round(figures.exact.ms, 3) for size, figures in found.items()},
        "two_stage_ms": {size: round(figures.two_stage.ms, 3) for size, figures in found.items()},
        "recall_at_10": {size: figures.recall for size, figures in found.items()},
        "sizes": {size: asdict(figures) for size, figures in found.items()},
        "data": options.data.stem if options.data else "synthetic",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
