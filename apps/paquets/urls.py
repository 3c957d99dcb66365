from django.urls import path

from apps.paquets import views

# « fichiers/ »: what follows it is in no log.
urlpatterns = [
    path("", views.PaquetsView.as_view(), name="paquets"),
    path("fichiers/<str:jeton>/", views.PaquetFichierView.as_view(), name="paquet-fichier"),
]
