"""How people read metrics, the names of reference models, and what decides between them."""

from typing import Any

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
        f"Gain de NDCG@10 sur la popularité : {gain:+.4f}, intervalle à 95 % "
        f"[{low:+.4f} ; {high:+.4f}] (bootstrap apparié sur les étudiants)."
    )


def signed(value: float) -> str:
    """As French has it: +0,0123."""
    return f"{value:+.4f}".replace(".", ",").replace("-", "−")
