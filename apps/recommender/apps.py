from django.apps import AppConfig


class RecommenderConfig(AppConfig):
    name = "apps.recommender"
    verbose_name = "Recommandation"

    def ready(self) -> None:
        from apps.core.signals import catalogue_changed
        from apps.recommender.services.catalogue import bump_catalogue_generation

        catalogue_changed.connect(
            bump_catalogue_generation, dispatch_uid="recommender.catalogue_generation"
        )
