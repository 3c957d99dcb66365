"""The fiche of a model: what it learnt from, how it was measured, for whom it is good, its limits.

Made at training, kept with the row and in the manifest; plain JSON.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from apps.recommender import selectors
from apps.recommender.labels import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apps.recommender.ml.data_loader import Dataset, Interactions
    from apps.recommender.ml.evaluation import Evaluation
    from apps.recommender.ml.slices import Slice
    from apps.recommender.models import TrainingLog
    from apps.recommender.services.gate import Verdict

# Beyond so few students, an interval says how sure a figure is; below, nothing does.
FEW_STUDENTS = 100


def fiche(
    run: TrainingLog,
    interactions: Interactions,
    dataset: Dataset,
    tested: Evaluation,
    references: Mapping[str, Evaluation],
    verdict: Verdict,
) -> dict[str, Any]:
    """Of the model that `run` fitted on `dataset`, `tested` on its test part."""
    data = _data(run, interactions, dataset)
    slices = _slices(tested, references["popularite"], dataset)
    return {
        "donnees": data,
        "protocole": _protocol(run, tested),
        "hyperparametres": run.hyperparametres,
        "metriques": _metrics(tested),
        "references": _references(tested, references),
        "tranches": slices,
        "comparaison": verdict.comparison.as_json() if verdict.comparison else None,
        "limites": _limits(data, tested, slices, verdict),
    }


def _data(run: TrainingLog, interactions: Interactions, dataset: Dataset) -> dict[str, Any]:
    first, last = int(interactions.timestamps.min()), int(interactions.timestamps.max())
    return {
        "empreinte": run.empreinte_donnees,
        "debut": _moment(first),
        "fin": _moment(last),
        "etudiants": dataset.n_users,
        "epreuves": dataset.n_items,
        "paires": len(interactions),
        "entrainement": len(dataset.train),
        "validation": len(dataset.validation),
        "test": len(dataset.test),
        "demi_vie_jours": dataset.half_life / 86400 if dataset.half_life else None,
        "ecartes": selectors.left_out(),
    }


def _moment(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


def _protocol(run: TrainingLog, tested: Evaluation) -> dict[str, Any]:
    return {
        "decoupage": "Par date : les 80 % de paires les plus anciennes entraînent, 10 % valident, "
        "les 10 % les plus récentes testent, une seule fois. Ce qui sert a ensuite appris de tout.",
        "candidats": "Tout le catalogue, moins ce que l'étudiant a pris dans l'entraînement.",
        "etudiants_mesures": tested.n_users,
        "intervalles": "Bootstrap sur les étudiants, à 95 %, 2000 tirages.",
        "graine": run.hyperparametres["seed"],
        "meilleure_epoch": run.meilleure_epoch,
    }


def _metrics(tested: Evaluation) -> list[dict[str, Any]]:
    from apps.recommender.ml.slices import intervals

    sure = intervals(tested)
    return [
        {"nom": name, "valeur": tested.metrics[name], "intervalle": sure.get(name)}
        for name in METRICS
        if name in tested.metrics
    ]


def _references(tested: Evaluation, references: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    from apps.recommender.ml.evaluation import paired_bootstrap

    return [
        {
            "nom": name,
            "ndcg_at_10": one.metrics["ndcg_at_10"],
            "gain": tested.metrics["ndcg_at_10"] - one.metrics["ndcg_at_10"],
            "intervalle": paired_bootstrap(tested.ndcg_by_user, one.ndcg_by_user),
        }
        for name, one in references.items()
    ]


def _slices(tested: Evaluation, popular: Evaluation, dataset: Dataset) -> list[dict[str, Any]]:
    from apps.recommender.ml.slices import by_seniority, by_trait, on_rare_items

    groups = {
        "anciennete": by_seniority(tested, popular, dataset),
        "filiere": by_trait(tested, popular, dataset, "filiere"),
        "niveau": by_trait(tested, popular, dataset, "niveau"),
    }
    rare = on_rare_items(tested, popular, dataset)
    # One slice is everybody.
    told = [
        _told(group, "ndcg_at_10", one)
        for group, some in groups.items()
        if len(some) > 1
        for one in some
    ]
    return told + ([_told("epreuves", "recall_at_10", rare)] if rare else [])


def _told(group: str, measure: str, one: Slice) -> dict[str, Any]:
    return {
        "groupe": group,
        "nom": one.name,
        "mesure": measure,
        "etudiants": one.n,
        "valeur": one.value,
        "popularite": one.popularity,
        "intervalle_gain": one.gain,
    }


def _limits(
    data: dict[str, Any], tested: Evaluation, slices: list[dict[str, Any]], verdict: Verdict
) -> list[str]:
    from apps.recommender.ml.slices import SMALLEST

    limits = [
        "Mesuré sur des clics passés : ce que personne n'a vu ne pouvait pas être pris, et un clic "
        "n'est pas un avis. Seul l'usage dira si les étudiants y gagnent.",
        "Ne sait rien d'un étudiant avant sa première épreuve : celui-là reçoit les épreuves "
        "populaires de sa filière.",
        f"Une tranche de moins de {SMALLEST} étudiants est fondue dans « autres » : ce que le "
        "modèle vaut pour elle n'est pas montré.",
    ]
    if tested.n_users < FEW_STUDENTS:
        limits.append(
            f"Mesuré sur {tested.n_users} étudiants seulement : regardez les intervalles, pas les "
            "moyennes."
        )
    limits += [
        f"Rien n'établit qu'il fait mieux que la popularité pour « {one['nom']} » "
        f"({one['etudiants']} étudiants)."
        for one in slices
        if one["intervalle_gain"][0] <= 0
    ]
    if verdict.comparison and not verdict.comparison.difference:
        limits.append(f"Pas comparé au modèle actif {verdict.active} : {verdict.comparison.reason}")
    if data["ecartes"]["personnalisation_refusee"]:
        limits.append(
            f"{data['ecartes']['personnalisation_refusee']} comptes ont refusé la "
            "personnalisation : rien n'en est appris."
        )
    return limits
