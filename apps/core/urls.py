from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from apps.core import monitoring, views

router = SimpleRouter(use_regex_path=False)
router.register("epreuves", views.EpreuveViewSet)
router.register("evaluations", views.EvaluationViewSet)
router.register("commentaires", views.CommentaireViewSet)

urlpatterns: list[URLPattern | URLResolver] = [
    path("token/", views.LoginView.as_view(), name="token"),
    path("token/refresh/", views.RefreshView.as_view(), name="token-refresh"),
    path("token/verify/", views.VerifyView.as_view(), name="token-verify"),
    path("token/blacklist/", views.BlacklistView.as_view(), name="token-blacklist"),
    path("mot-de-passe/", views.PasswordView.as_view(), name="mot-de-passe"),
    path("mot-de-passe/oubli/", views.ForgottenPasswordView.as_view(), name="oubli"),
    path("mot-de-passe/nouveau/", views.LinkedPasswordView.as_view(), name="nouveau"),
    path("inscription/", views.InscriptionView.as_view(), name="inscription"),
    path("moi/", views.MoiView.as_view(), name="moi"),
    path("moi/export/", views.ExportView.as_view(), name="export"),
    path("moi/favoris/", views.FavorisView.as_view(), name="favoris"),
    path("moi/historique/", views.HistoriqueView.as_view(), name="historique"),
    path("fichiers/<str:jeton>/", views.FichierView.as_view(), name="fichier"),
    path("sante/live/", monitoring.LiveView.as_view(), name="sante-live"),
    path("sante/ready/", monitoring.ReadyView.as_view(), name="sante-ready"),
    *router.urls,
]
