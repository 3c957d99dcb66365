"""The generation of the published catalogue, part of every cache key."""

from typing import Any

from django.db.models import F

from apps.recommender.models import CatalogueGeneration


def catalogue_generation() -> int:
    row = CatalogueGeneration.objects.filter(pk=1).values_list("generation", flat=True).first()
    return row or 0


def bump_catalogue_generation(**kwargs: Any) -> None:
    """Receives core's `catalogue_changed`, inside the transaction of the change."""
    if not CatalogueGeneration.objects.filter(pk=1).update(generation=F("generation") + 1):
        CatalogueGeneration.objects.get_or_create(pk=1, defaults={"generation": 1})
