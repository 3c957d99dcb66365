from django.apps import AppConfig


class PaquetsConfig(AppConfig):
    name = "apps.paquets"
    verbose_name = "Paquets hors ligne"
