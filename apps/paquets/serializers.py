from typing import Any

from django.conf import settings
from rest_framework import serializers

from apps.core.filters import EpreuveFilters
from apps.core.services.files import DOCUMENTS

BUDGET_MIN = 1_000_000


class PaquetQuery(EpreuveFilters):
    budget_octets = serializers.IntegerField(
        min_value=BUDGET_MIN,
        help_text="Taille à ne pas dépasser, archive comprise ; l'exploitant fixe le plus grand, "
        "100 Mo par défaut.",
    )
    corriges = serializers.BooleanField(default=True, help_text="Avec les corrigés publics.")
    deja = serializers.BooleanField(
        default=False, help_text="Reprendre aussi ce que vous avez déjà téléchargé ou reçu."
    )

    def validate_budget_octets(self, value: int) -> int:
        most = settings.PAQUET_MAX_OCTETS
        if value > most:
            raise serializers.ValidationError(f"Au plus {most} octets.", code="max_value")
        return value


class DocumentSerializer(serializers.Serializer[Any]):
    """Neither its name nor its SHA-256: the manifest in the archive has them."""

    epreuve = serializers.IntegerField(source="epreuve.pk")
    titre = serializers.CharField(source="epreuve.titre")
    document = serializers.ChoiceField(choices=list(DOCUMENTS))
    taille_octets = serializers.IntegerField()


class ApercuSerializer(serializers.Serializer[Any]):
    taille_octets = serializers.IntegerField(help_text="De l'archive entière.")
    nb_epreuves = serializers.IntegerField()
    documents = DocumentSerializer(many=True, help_text="Du plus utile au moins utile.")


class PaquetSerializer(serializers.Serializer[Any]):
    url = serializers.URLField(help_text="À reprendre autant de fois qu'il faut (`Range`).")
    expire_le = serializers.DateTimeField()
    nom_fichier = serializers.CharField()
    taille_octets = serializers.IntegerField()
    sha256 = serializers.CharField(help_text="De l'archive entière ; aussi son `ETag`.")
