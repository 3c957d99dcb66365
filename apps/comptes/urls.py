from django.urls import path

from apps.comptes import views

urlpatterns = [
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
]
