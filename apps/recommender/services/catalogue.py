"""The generation of the published catalogue, part of every cache key."""

from typing import Any

from django.db import connection
from django.db.models import F

from apps.recommender.models import CatalogueGeneration


def catalogue_generation() -> int:
    """Read with every recommendation: plain SQL, since the ORM takes six times as long."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT generation FROM recommender_cataloguegeneration WHERE id = 1")
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def bump_catalogue_generation(**kwargs: Any) -> None:
    """Receives core's `catalogue_changed`, inside the transaction of the change."""
    if not CatalogueGeneration.objects.filter(pk=1).update(generation=F("generation") + 1):
        CatalogueGeneration.objects.get_or_create(pk=1, defaults={"generation": 1})
