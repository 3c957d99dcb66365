"""What becomes of plain NeuMF that is trained on after its best epoch?

    python -m benchmarks.collapse --data ml-100k.inter --picture docs/images/effondrement-neumf.svg

NDCG@10 on validation (a tenth of the training part of the hold-out split) after each epoch, with
the default options and no early stopping: as in the paper, without weight decay, and with the
product's. The table goes to stderr, one line of JSON to stdout, the curves to the picture.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from tqdm import tqdm

from apps.recommender.charts import Curve, panel
from apps.recommender.ml import trainer
from apps.recommender.ml.config import SEED, TrainingConfig
from apps.recommender.ml.data_loader import Dataset
from benchmarks.protocols import holdout

WAYS = {"comme l'article": 0.0, "décroissance": trainer.WEIGHT_DECAY}
COLOURS = ("#dc2626", "#059669")


def curve(log: Dataset, config: TrainingConfig, weight_decay: float) -> list[float]:
    """NDCG@10 on validation after each of `config.epochs` epochs."""
    with tqdm(total=config.epochs, file=sys.stderr) as bar:

        def tell(entry: dict[str, Any]) -> None:
            bar.update()

        # Nothing but a benchmark may train on: these are no options.
        with mock.patch.multiple(trainer, WEIGHT_DECAY=weight_decay, PATIENCE=10**9):
            found = trainer.fit(log, config, on_epoch=tell)
    return [entry["ndcg_validation"] for entry in found.history]


def picture(found: dict[str, list[float]]) -> str:
    """The curves as a file of SVG."""
    names = list(found)
    rows = [
        {"epoch": epoch, **dict(zip(names, values, strict=True))}
        for epoch, values in enumerate(zip(*found.values(), strict=True), start=1)
    ]
    curves = [Curve(name, name, colour) for name, colour in zip(names, COLOURS, strict=True)]
    return str(panel("NDCG@10 de validation", curves, rows, best_epoch=None)) + "\n"


def table(found: dict[str, list[float]]) -> str:
    lines = ["epoch     " + "".join(f"{name:>14}" for name in found)]
    for epoch, values in enumerate(zip(*found.values(), strict=True), start=1):
        lines.append(f"{epoch:<10}" + "".join(f"{value:>14.4f}" for value in values))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collapse",
        description="Trace ce que devient NeuMF quand on insiste.",
    )
    parser.add_argument("--data", type=Path, required=True, help="fichier .inter")
    parser.add_argument("--seed", type=int, default=SEED, help="graine de la coupure")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--picture", type=Path, help="fichier .svg à écrire")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    log = holdout(options.data, rng).with_validation(rng)
    config = TrainingConfig("neumf", epochs=options.epochs, seed=options.seed)
    found = {name: curve(log, config, decay) for name, decay in WAYS.items()}
    print(table(found), file=sys.stderr)
    if options.picture:
        options.picture.write_text(picture(found), encoding="utf-8")
    print(json.dumps({"seed": options.seed, "ndcg_validation": found}, ensure_ascii=False))


if __name__ == "__main__":
    main()
