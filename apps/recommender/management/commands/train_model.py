import signal
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse
from tqdm import tqdm

from apps.recommender.labels import METRICS, MODELS, gain_in_words
from apps.recommender.ml.config import TrainingConfig
from apps.recommender.ml.errors import MlError
from apps.recommender.services import training
from apps.recommender.services.training import Outcome
from apps.recommender.services.training_requests import request_training

# Exit codes, as sysexits.h and shells have them where they have one.
FAILED, REFUSED, BUSY, CANCELLED = 3, 4, 75, 130

HELP = {
    "epochs": "nombre d'epochs au plus ; l'arrêt précoce en fait souvent moins",
    "batch_size": "paires par lot (hybrid), ou lignes, négatifs compris (gmf, mlp, neumf)",
    "embedding_dim": "dimension des facteurs (hybrid), ou des embeddings de chaque branche",
    "learning_rate": "taux d'apprentissage ; gmf, mlp et neumf le réduisent sur un plateau",
    "device": "cpu ou cuda",
    "negative_samples": "échantillons négatifs par positif",
    "architecture": "gmf, mlp, neumf ou hybrid",
    "seed": "graine : la même donne les mêmes poids sur CPU",
    "pretraining": "pour neumf seulement : entraîner d'abord seules ses parties, gmf puis mlp",
}


class Command(BaseCommand):
    help = (
        "Entraîne le modèle de recommandation sur les interactions de la banque, le mesure sur les "
        "plus récentes, et l'active s'il fait mieux que la popularité. Codes de sortie : 0 actif, "
        "3 trop peu de données ou divergence, 4 gardé mais refusé, 75 un autre entraînement est "
        "en cours, 130 annulé. Le modèle actif ne change qu'au code 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for option in fields(TrainingConfig):
            kind: dict[str, Any] = {"type": type(option.default)}
            if isinstance(option.default, bool):
                kind = {"action": BooleanOptionalAction}  # adds --no-…
            parser.add_argument(
                f"--{option.name.replace('_', '-')}",
                default=option.default,
                help=f"{HELP[option.name]} (défaut : %(default)s)",
                **kind,
            )
        parser.add_argument(
            "--model-version", default="", help="nom du modèle (défaut : date et architecture)"
        )
        parser.add_argument(
            "--background",
            action="store_true",
            help="confier l'entraînement à un travailleur (db_worker) et rendre la main aussitôt ; "
            "sur place quand TACHES_EN_ARRIERE_PLAN vaut False",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = [option.name for option in fields(TrainingConfig)]
        try:
            config = TrainingConfig(**{name: options[name] for name in names})
        except (ValueError, MlError) as error:
            raise CommandError(str(error), returncode=2) from None
        if options["background"] and settings.TACHES_EN_ARRIERE_PLAN:
            self._request(config, options["model_version"], quiet=options["verbosity"] == 0)
            return
        if options["background"]:
            self.stdout.write("TACHES_EN_ARRIERE_PLAN vaut False : l'entraînement se fait ici.")
        signal.signal(signal.SIGTERM, _cancel)
        with _Bar(config, quiet=options["verbosity"] == 0) as bar:
            try:
                with _usage_errors():
                    outcome = training.train(
                        config,
                        version=options["model_version"],
                        on_epoch=bar.epoch,
                        on_step=bar.step,
                    )
            except (MlError, OSError) as error:
                raise CommandError(f"Entraînement échoué : {error}", returncode=FAILED) from None
            except KeyboardInterrupt:
                raise CommandError("Entraînement annulé.", returncode=CANCELLED) from None
        self._show(outcome)
        if outcome.model.motif_refus:
            raise CommandError(
                f"Modèle {outcome.model.version} gardé mais refusé : {outcome.model.motif_refus} "
                "Le modèle actif, s'il y en a un, reste en service.",
                returncode=REFUSED,
            )
        self.stdout.write(self.style.SUCCESS(f"Modèle {outcome.model.version} actif."))

    def _request(self, config: TrainingConfig, version: str, *, quiet: bool) -> None:
        with _usage_errors():
            run = request_training(config, version=version)
        if quiet:
            return
        page = reverse("admin:recommender_traininglog_change", args=[run.pk])
        self.stdout.write(
            f"Entraînement {run.pk} demandé, modèle {run.version} : le premier travailleur libre "
            f"(python manage.py db_worker) le prend. Suivez-le sur {page}"
        )

    def _show(self, outcome: Outcome) -> None:
        run = outcome.run
        rows = {run.hyperparametres["architecture"]: run.metriques} | run.references
        self.stdout.write(
            f"\n{run.nb_interactions} paires positives, {run.nb_utilisateurs} étudiants, "
            f"{run.nb_epreuves} épreuves ; meilleure epoch : {run.meilleure_epoch}.\n"
            "Test : les 10 % de paires les plus récentes, tout le catalogue moins l'entraînement."
        )
        self.stdout.write(f"{'':<14}" + "".join(f"{title:>12}" for title in METRICS.values()))
        for name, metrics in rows.items():
            cells = (
                f"{metrics[key]:>12.4f}" if key in metrics else f"{'–':>12}" for key in METRICS
            )
            self.stdout.write(f"{MODELS.get(name, name):<14}" + "".join(cells))
        self.stdout.write(gain_in_words(run.metriques, run.references))


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except training.TrainingInProgress as error:
        raise CommandError(str(error), returncode=BUSY) from None
    except training.UNUSABLE_OPTIONS as error:
        raise CommandError(str(error), returncode=2) from None


class _Bar:
    """A bar over all the steps there may be, with the figures of the last epoch."""

    def __init__(self, config: TrainingConfig, *, quiet: bool) -> None:
        self.epochs = config.epochs
        # Where nobody watches (cron, a file), a line now and then is enough.
        interval = 0.2 if sys.stderr.isatty() else 10
        self.bar = tqdm(
            disable=quiet, desc="Entraînement", unit=" lots", leave=False, mininterval=interval
        )

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.close()

    def step(self, done: int, total: int) -> None:
        if done < self.bar.n:
            self.bar.reset()
            self.bar.set_description("Entraînement final, sur tout")
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def epoch(self, entry: dict[str, Any]) -> None:
        self.bar.set_description(f"Epoch {entry['epoch']}/{self.epochs}", refresh=False)
        self.bar.set_postfix(
            refresh=False,
            perte=f"{entry['loss_entrainement']:.4f}",
            ndcg=f"{entry['ndcg_validation']:.4f}",
        )


def _cancel(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
