"""How people read the names of metrics and of reference models."""

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
    "neumf": "NeuMF",
    "gmf": "GMF",
    "mlp": "MLP",
    "aleatoire": "hasard",
    "popularite": "popularité",
    "ease": "EASE",
}
