from django.apps import AppConfig


class RecommenderConfig(AppConfig):
    name = "apps.recommender"
    verbose_name = "Recommandation"

    def ready(self) -> None:
        from apps.core.signals import (
            account_erased,
            catalogue_changed,
            export_asked,
            recommendation_followed,
        )
        from apps.recommender.services.answers import count_click
        from apps.recommender.services.catalogue import bump_catalogue_generation
        from apps.recommender.services.forgetting import forget_erased, held_of

        catalogue_changed.connect(
            bump_catalogue_generation, dispatch_uid="recommender.catalogue_generation"
        )
        account_erased.connect(forget_erased, dispatch_uid="recommender.forget_erased")
        export_asked.connect(held_of, dispatch_uid="recommender.held_of")
        recommendation_followed.connect(count_click, dispatch_uid="recommender.count_click")
