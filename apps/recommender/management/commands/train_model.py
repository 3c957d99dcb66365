import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse
from tqdm import tqdm

from apps.recommender.interruption import stopping_on_signals
from apps.recommender.labels import METRICS, MODELS, gain_in_words
from apps.recommender.ml.errors import MlError, PeerLost
from apps.recommender.models import TrainingLog
from apps.recommender.options import OPTIONS, OptionRefused, training_config
from apps.recommender.services import (
    training,
    training_group,
    training_need,
    training_requests,
    training_runs,
)
from apps.recommender.services.training import Outcome
from apps.recommender.services.training_runs import (
    NotResumable,
    TrainingInProgress,
    TrainingStopped,
    TrainingSuperseded,
)

# Exit codes, as sysexits.h and shells have them where they have one.
USAGE, FAILED, REFUSED, BUSY, CANCELLED = 2, 3, 4, 75, 130

Train = Callable[..., Outcome]


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 100_000):
        raise ArgumentTypeError(f"{text} : donnez un entier de 1 à 100000.")
    return int(text)


class Command(BaseCommand):
    help = (
        "Entraîne le modèle de recommandation sur les interactions de la banque, le mesure sur les "
        "plus récentes, et l'active s'il le mérite (ADR 115). Codes de sortie : 0 actif, "
        "ou inutile avec --if-needed ; "
        "3 trop peu de données ou divergence, 4 gardé mais refusé, 75 un autre entraînement est "
        "en cours, 130 annulé. Le modèle actif ne change qu'au code 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for option in OPTIONS:
            kind: dict[str, Any] = {"type": type(option.default)}
            if isinstance(option.default, bool):
                kind = {"action": BooleanOptionalAction}  # adds --no-…
            parser.add_argument(
                f"--{option.name.replace('_', '-')}",
                default=option.default,
                help=f"{option.help} (défaut : %(default)s)",
                **kind,
            )
        parser.add_argument(
            "--model-version", default="", help="nom du modèle (défaut : date et architecture)"
        )
        parser.add_argument(
            "--background",
            action="store_true",
            help="rendre la main aussitôt : un travailleur (db_worker) s'en charge, ou, quand "
            "TACHES_EN_ARRIERE_PLAN vaut False, un processus à part",
        )
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--resume",
            nargs="?",
            type=int,
            const=0,
            metavar="ID",
            help="reprendre cet entraînement interrompu, ou le dernier, avec ses options",
        )
        which.add_argument(
            "--if-needed",
            action="store_true",
            help="ne rien faire s'il n'y a pas assez de nouveau depuis le dernier (pour cron)",
        )
        which.add_argument("--run", type=int, help=SUPPRESS)  # what `start_process` says
        parser.add_argument(
            "--min-new-interactions",
            type=_count,
            default=training_need.MIN_NEW_INTERACTIONS,
            metavar="N",
            help="avec --if-needed : paires (étudiant, épreuve) nouvelles qui suffisent "
            "(défaut : %(default)s)",
        )
        parser.add_argument(
            "--max-age-days",
            type=_count,
            default=training_need.MAX_AGE_DAYS,
            metavar="J",
            help="avec --if-needed : jours après lesquels une seule suffit (défaut : %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if training_group.follows():
            self._follow()
            return
        with training_group.leading():
            self._lead(options)

    def _follow(self) -> None:
        try:
            training_group.follow()
        except (MlError, OSError) as error:
            raise CommandError(str(error), returncode=FAILED) from None

    def _lead(self, options: dict[str, Any]) -> None:
        quiet = options["verbosity"] == 0
        if options["background"] and training_group.is_shared():
            raise CommandError("--background ne va pas avec torchrun.", returncode=USAGE)
        with _usage_errors():
            if options["if_needed"] and not self._is_needed(options, quiet=quiet):
                training_group.dismiss()
                return
            if options["background"]:
                self._announce(_requested(options), quiet=quiet)
                return
            train, epochs = _chosen(options)
        outcome = self._trained(train, epochs, quiet=quiet)
        self._show(outcome)
        if outcome.model.motif_refus:
            raise CommandError(
                f"Modèle {outcome.model.version} gardé mais refusé : {outcome.model.motif_refus} "
                "Le modèle actif, s'il y en a un, reste en service.",
                returncode=REFUSED,
            )
        self.stdout.write(self.style.SUCCESS(f"Modèle {outcome.model.version} actif."))

    def _is_needed(self, options: dict[str, Any], *, quiet: bool) -> bool:
        need = training_need.training_need(
            min_new=options["min_new_interactions"], max_age_days=options["max_age_days"]
        )
        if not quiet:
            self.stdout.write(need.reason)
        return need.is_there

    def _announce(self, run: TrainingLog, *, quiet: bool) -> None:
        if quiet:
            return
        page = reverse("admin:recommender_traininglog_change", args=[run.pk])
        self.stdout.write(
            f"Entraînement {run.pk} demandé, modèle {run.version} : "
            f"{training_requests.who_does_it(run)} Suivez-le sur {page}"
        )

    def _trained(self, train: Train, epochs: int, *, quiet: bool) -> Outcome:
        # torchrun ends those that are left by SIGTERM when one of them is gone.
        terminated = PeerLost if training_group.is_shared() else None
        with (
            stopping_on_signals(terminated=terminated),
            _Bar(epochs, quiet=quiet) as bar,
            _usage_errors(),
        ):
            try:
                return train(on_epoch=bar.epoch, on_step=bar.step)
            except (MlError, OSError, TrainingSuperseded) as error:
                if isinstance(error, training.UNUSABLE_OPTIONS):
                    raise
                raise CommandError(f"Entraînement échoué : {error}", returncode=FAILED) from None
            except (KeyboardInterrupt, TrainingStopped):
                raise CommandError("Entraînement annulé.", returncode=CANCELLED) from None

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


def _requested(options: dict[str, Any]) -> TrainingLog:
    if options["resume"] is None:
        config = training_config(options)
        return training_requests.request_training(config, version=options["model_version"])
    run = _stopped(options["resume"])
    training_requests.request_resume(run)
    return run


def _chosen(options: dict[str, Any]) -> tuple[Train, int]:
    """What is to be done here, and for how many epochs at most."""
    if options["run"] is not None:
        run = _known(options["run"])
        return partial(training.train_waiting, run), run.epoch_totale
    if options["resume"] is not None:
        run = _stopped(options["resume"])
        return partial(training.resume, run), run.epoch_totale
    config = training_config(options)
    return partial(training.train, config, version=options["model_version"]), config.epochs


def _stopped(pk: int) -> TrainingLog:
    """Of that number, or the last one that can go on."""
    run = _known(pk) if pk else training_runs.last_resumable()
    if run is None:
        raise NotResumable("Aucun entraînement interrompu n'a gardé ses données : lancez-en un.")
    return run


def _known(pk: int) -> TrainingLog:
    run = TrainingLog.objects.filter(pk=pk).first()
    if run is None:
        raise NotResumable(f"Il n'y a pas d'entraînement {pk}.")
    return run


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except TrainingInProgress as error:
        raise CommandError(str(error), returncode=BUSY) from None
    except (OptionRefused, NotResumable, *training.UNUSABLE_OPTIONS) as error:
        raise CommandError(str(error), returncode=USAGE) from None


class _Bar:
    """A bar over all the steps there may be, with the figures of the last epoch."""

    def __init__(self, epochs: int, *, quiet: bool) -> None:
        self.epochs = epochs
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
