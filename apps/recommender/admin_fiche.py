"""The fiche of a model as a page."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from apps.recommender.drawing import Interval, figure, intervals, table
from apps.recommender.labels import METRICS, MODELS, decimal, signed

GROUPS = {
    "anciennete": "Gain de NDCG@10 sur la popularité, par ancienneté",
    "filiere": "Gain de NDCG@10 sur la popularité, par filière",
    "niveau": "Gain de NDCG@10 sur la popularité, par niveau",
    "epreuves": "Gain de R@10 sur la popularité, pour les épreuves que peu ont prises",
}

_SAME_TEST = "celles du même test, que ni l'un ni l'autre n'avait apprises quand il a été mesuré"
_NEWER = (
    "plus récentes que les données de {version}, dont le nouveau n'a encore appris que les 80 % "
    "les plus anciens des siennes"
)


def fiche_page(fiche: dict[str, Any]) -> SafeString:
    """As `services.fiche` made it."""
    context = {
        "fiche": fiche,
        "first": dt.datetime.fromisoformat(fiche["donnees"]["debut"]),
        "last": dt.datetime.fromisoformat(fiche["donnees"]["fin"]),
        "metrics": _metrics(fiche["metriques"]),
        "references": _references(fiche["references"]),
        "groups": [_group(fiche["tranches"], name) for name in GROUPS],
        "comparison": comparison_in_words(fiche["comparaison"]),
    }
    return render_to_string("admin/recommender/modelmetadata/fiche.html", context)


def comparison_in_words(comparison: dict[str, Any] | None) -> str:
    if comparison is None:
        return "Aucun modèle ne servait."
    version = comparison["version"]
    if "difference" not in comparison:
        return f"Pas comparé à {version} : {comparison['raison']}"
    interval = _between(comparison["intervalle"], signed)
    where = _SAME_TEST if comparison.get("meme_test") else _NEWER.format(version=version)
    return (
        f"NDCG@10 {signed(comparison['difference'])} par rapport à {version}, intervalle à 95 % "
        f"{interval}, sur {comparison['interactions']} interactions de "
        f"{comparison['etudiants']} étudiants, {where} ; "
        f"marge de {decimal(comparison['marge'], 2)}."
    )


def _metrics(rows: list[dict[str, Any]]) -> SafeString:
    cells = (
        (
            METRICS[row["nom"]],
            decimal(row["valeur"]),
            _between(row["intervalle"]) if row["intervalle"] else "–",
        )
        for row in rows
    )
    return table(("mesure", "valeur", "intervalle à 95 %"), cells, "Mesures sur le test")


def _references(rows: list[dict[str, Any]]) -> SafeString:
    cells = (
        (
            MODELS[row["nom"]],
            decimal(row["ndcg_at_10"]),
            signed(row["gain"]),
            _between(row["intervalle"], signed),
        )
        for row in rows
    )
    headers = ("référence", "NDCG@10", "gain du modèle", "intervalle à 95 %")
    return table(headers, cells, "Gain du modèle sur chaque référence")


def _group(slices: list[dict[str, Any]], name: str) -> SafeString | str:
    rows = [row for row in slices if row["groupe"] == name]
    if not rows:
        return ""
    title = GROUPS[name]
    drawn = (
        Interval(
            f"{row['nom']} ({row['etudiants']})",
            row["valeur"] - row["popularite"],
            *row["intervalle_gain"],
        )
        for row in rows
    )
    cells = (
        (
            row["nom"],
            row["etudiants"],
            decimal(row["valeur"]),
            decimal(row["popularite"]),
            _between(row["intervalle_gain"], signed),
        )
        for row in rows
    )
    headers = ("tranche", "étudiants", "modèle", "popularité", "gain, à 95 %")
    return figure(title, intervals(title, list(drawn)), headers, cells)


def _between(bounds: Sequence[float], say: Callable[[float], str] = decimal) -> str:
    low, high = bounds
    return f"[{say(low)} ; {say(high)}]"
