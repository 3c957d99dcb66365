from django.urls import URLPattern, URLResolver, path, register_converter
from django.urls.converters import StringConverter
from rest_framework.routers import SimpleRouter

from apps.recommender.api import models, training, views


class VersionConverter(StringConverter):
    regex = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


register_converter(VersionConverter, "nom")
router = SimpleRouter(use_regex_path=False)
router.register("entrainements", training.EntrainementViewSet, "entrainements")

urlpatterns: list[URLPattern | URLResolver] = [
    path("personalized/", views.PersonalizedView.as_view(), name="recommendations-personalized"),
    path("similar/", views.SimilarView.as_view(), name="recommendations-similar"),
    path("status/", views.StatusView.as_view(), name="recommendations-status"),
    path("stats/", views.StatisticsView.as_view(), name="recommendations-stats"),
    path("modeles/", models.ModelListView.as_view(), name="modeles"),
    path("modeles/revenir/", models.ReturnView.as_view(), name="modeles-revenir"),
    path("modeles/<nom:version>/", models.ModelView.as_view(), name="modele"),
    path("modeles/<nom:version>/activer/", models.ActivateView.as_view(), name="modele-activer"),
    path("activations/", models.JournalView.as_view(), name="activations"),
    *router.urls,
]
