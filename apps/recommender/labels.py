"""How people read metrics, the names of reference models, and what decides between them."""

from typing import Any

from apps.recommender.ml.architectures import HYBRID

METRICS = {
    "ndcg_at_10": "NDCG@10",
    "precision_at_10": "P@10",
    "recall_at_10": "R@10",
    "hr_at_10": "HR@10",
    "map_at_10": "MAP@10",
    "couverture": "couverture",
    "rmse": "RMSE",
}
MODELS = {
    "hybrid": "NeuMF hybride",
    "neumf": "NeuMF",
    "gmf": "GMF",
    "mlp": "MLP",
    "aleatoire": "hasard",
    "popularite": "popularité",
    "knn": "kNN (items)",
    "ease": "EASE",
    "ials": "iALS",
}
SOURCES = {
    "ncf": "modèle",
    "historique": "modèle, d'après l'historique",
    "contenu": "modèle, d'après le contenu",
    "profil": "populaires de la filière",
    "populaires": "populaires",
    "recentes": "récentes",
    "aucune": "aucune recommandation",
}
# The others have the place in their list for a score.
OF_THE_MODEL = {"ncf", "historique", "contenu"}
# Why the model did not fill an answer alone, and what to do about it where something can be.
FALLBACKS = {
    "aucun_modele": "aucun modèle ne sert",
    "modele_degrade": "modèle illisible",
    "personnalisation_refusee": "personnalisation refusée",
    "sans_historique": "étudiant sans historique",
    "epreuve_inconnue": "épreuve inconnue du modèle",
    "filtres": "filtres trop étroits",
    "candidats_epuises": "plus rien de neuf à montrer",
}
REMEDIES = {
    "aucun_modele": "lancez un entraînement",
    "modele_degrade": "activez un modèle dont les fichiers sont là",
    "epreuve_inconnue": "ré-entraînez",
    "candidats_epuises": "publiez des épreuves",
}


def gain_in_words(metrics: dict[str, Any], references: dict[str, Any]) -> str:
    """Whether the model does better than popularity, and how sure that is."""
    gain = metrics["ndcg_at_10"] - references["popularite"]["ndcg_at_10"]
    low, high = metrics["intervalle_gain_ndcg_at_10"]
    return (
        f"Gain de NDCG@10 sur la popularité : {signed(gain)}, intervalle à 95 % "
        f"[{signed(low)} ; {signed(high)}] (bootstrap apparié sur les étudiants)."
    )


def decimal(value: float, places: int = 4) -> str:
    """As French has it: 0,0123."""
    return f"{value:.{places}f}".replace(".", ",").replace("-", "−")


def signed(value: float, places: int = 4) -> str:
    """With a plus, too: +0,0123."""
    return f"{value:+.{places}f}".replace(".", ",").replace("-", "−")


def loss_in_words(architecture: str) -> str:
    """What its training makes small; two of these have nothing to say to each other."""
    return "softmax échantillonné" if architecture == HYBRID else "entropie croisée binaire"
