from django.apps import AppConfig


class PaquetsConfig(AppConfig):
    name = "apps.paquets"
    verbose_name = "Paquets hors ligne"

    def ready(self) -> None:
        from apps.core.signals import export_asked
        from apps.paquets.selectors import held_of

        export_asked.connect(held_of, dispatch_uid="paquets.held_of")
