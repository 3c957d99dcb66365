from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from apps.core import monitoring, views

router = SimpleRouter(use_regex_path=False)
router.register("epreuves", views.EpreuveViewSet)
router.register("evaluations", views.EvaluationViewSet)
router.register("commentaires", views.CommentaireViewSet)

urlpatterns: list[URLPattern | URLResolver] = [
    path("moi/favoris/", views.FavorisView.as_view(), name="favoris"),
    path("moi/historique/", views.HistoriqueView.as_view(), name="historique"),
    path("fichiers/<str:jeton>/", views.FichierView.as_view(), name="fichier"),
    path("sante/live/", monitoring.LiveView.as_view(), name="sante-live"),
    path("sante/ready/", monitoring.ReadyView.as_view(), name="sante-ready"),
    *router.urls,
]
