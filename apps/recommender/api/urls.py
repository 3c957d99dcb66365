from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from apps.recommender.api import models, training, views

router = SimpleRouter(use_regex_path=False)
router.register("entrainements", training.EntrainementViewSet, "entrainements")

urlpatterns: list[URLPattern | URLResolver] = [
    path("personalized/", views.PersonalizedView.as_view(), name="recommendations-personalized"),
    path("similar/", views.SimilarView.as_view(), name="recommendations-similar"),
    path("status/", views.StatusView.as_view(), name="recommendations-status"),
    path("stats/", views.StatisticsView.as_view(), name="recommendations-stats"),
    path("modeles/", models.ModelListView.as_view(), name="modeles"),
    path("modeles/revenir/", models.ReturnView.as_view(), name="modeles-revenir"),
    path("modeles/<str:version>/", models.ModelView.as_view(), name="modele"),
    path("modeles/<str:version>/activer/", models.ActivateView.as_view(), name="modele-activer"),
    path("activations/", models.JournalView.as_view(), name="activations"),
    *router.urls,
]
