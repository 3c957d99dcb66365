from django.apps import AppConfig


class ComptesConfig(AppConfig):
    name = "apps.comptes"
    verbose_name = "Comptes"

    def ready(self) -> None:
        # drf-spectacular knows what is imported: nothing else imports this.
        import apps.comptes.schema  # noqa: F401
