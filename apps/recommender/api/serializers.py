import math
from typing import Any

from rest_framework import serializers

from apps.core.fields import Choice, CodeField, NumberField
from apps.core.filters import CardsQuery, QueryString
from apps.core.models import Filiere, Matiere, Niveau, TypeInteraction
from apps.core.serializers import EpreuveSerializer
from apps.recommender.models import ReponseServie
from apps.recommender.services.recommendations import REPLIS, SOURCES
from apps.recommender.services.reports import DEGRADED, NO_MODEL, NONE, READY

MAX_TOP_K = 100


class PersonalizedQuery(CardsQuery):
    top_k = serializers.IntegerField(
        min_value=1, max_value=MAX_TOP_K, default=10, help_text="Nombre de recommandations."
    )
    exclude_seen = serializers.BooleanField(
        default=True, help_text="Exclure les épreuves déjà vues."
    )
    expliquer = serializers.BooleanField(
        default=False,
        help_text="Donner à chaque raison le rang que la recommandation aurait sans elle.",
    )
    diversite = NumberField(
        min_value=0,
        max_value=1,
        default=0,
        help_text="De 0, les meilleures selon le modèle, à 1, les plus différentes entre elles "
        "parmi les cent meilleures ; elle dit lesquelles, le score dit leur ordre.",
    )
    matiere = CodeField(queryset=Matiere.objects.all(), required=False, help_text="Code.")
    filiere = CodeField(queryset=Filiere.objects.all(), required=False, help_text="Code.")
    niveau = Choice(Niveau.choices, required=False)

    def validate_diversite(self, value: float) -> float:
        if math.isnan(value):  # which is neither below 0 nor above 1
            raise serializers.ValidationError("Donnez un nombre de 0 à 1.", code="invalid")
        return value


class SimilarQuery(CardsQuery):
    epreuve_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    top_k = serializers.IntegerField(
        min_value=1, max_value=MAX_TOP_K, default=10, help_text="Nombre d'épreuves."
    )


class NoQuery(QueryString):
    """There is nothing to ask."""


class StatisticsQuery(QueryString):
    jours = serializers.IntegerField(
        min_value=1, max_value=3650, default=30, help_text="Période comptée, en jours."
    )


# « Parce que vous avez … ».
GESTURES = {
    TypeInteraction.FAVORI: "mis en favori",
    TypeInteraction.EVALUATION: "évalué",
    TypeInteraction.TELECHARGEMENT: "téléchargé",
    TypeInteraction.COMMENTAIRE: "commenté",
    TypeInteraction.VUE: "consulté",
}


class ReasonSerializer(serializers.Serializer[Any]):
    epreuve = serializers.IntegerField(source="epreuve.pk", help_text="De votre historique.")
    titre = serializers.CharField(source="epreuve.titre")
    texte = serializers.SerializerMethodField()
    contribution = serializers.FloatField(
        help_text="De combien le score serait plus bas si vous n'aviez jamais touché cette épreuve."
    )
    rang_sans = serializers.IntegerField(
        allow_null=True,
        required=False,
        help_text="Avec expliquer=true seulement : le rang qu'aurait la recommandation sans cette "
        "épreuve ; null si elle ne viendrait plus du modèle.",
    )

    def to_representation(self, reason: Any) -> dict[str, Any]:
        shown = super().to_representation(reason)
        if not reason.explained:
            del shown["rang_sans"]
        return shown

    def get_texte(self, reason: Any) -> str:
        geste = GESTURES[TypeInteraction(reason.geste)]
        return f"parce que vous avez {geste} « {reason.epreuve.titre} »"


class RecommendationSerializer(serializers.Serializer[Any]):
    rang = serializers.IntegerField()
    score = serializers.FloatField(
        min_value=0,
        max_value=1,
        help_text="Décroissant ; sans comparaison entre sources.",
    )
    source = serializers.ChoiceField(choices=SOURCES)  # type: ignore[assignment]
    epreuve = EpreuveSerializer()
    raisons = ReasonSerializer(
        many=True, help_text="Ce qui, dans votre historique, compte le plus pour elle."
    )


class RecommendationsSerializer(serializers.Serializer[Any]):
    count = serializers.SerializerMethodField()
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=SOURCES, allow_null=True, help_text="Celle de la première recommandation."
    )
    version_modele = serializers.CharField(source="version", allow_null=True)
    depuis_cache = serializers.BooleanField(source="cached")
    requete_id = serializers.UUIDField(
        read_only=True,
        help_text="De cette réponse seule : à renvoyer avec une vue ou un téléchargement.",
    )
    recommendations = RecommendationSerializer(many=True)

    def get_count(self, answer: Any) -> int:
        return len(answer.recommendations)


class CacheSerializer(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=["redis", "memoire"])
    disponible = serializers.BooleanField()
    duree_secondes = serializers.IntegerField()


class StatusSerializer(serializers.Serializer[Any]):
    statut = serializers.ChoiceField(choices=[READY, NO_MODEL, DEGRADED])
    version_modele = serializers.CharField(allow_null=True)
    architecture = serializers.CharField(allow_null=True)
    appareil = serializers.CharField()
    nb_utilisateurs = serializers.IntegerField()
    nb_epreuves = serializers.IntegerField()
    entraine_le = serializers.DateTimeField(allow_null=True)
    metriques = serializers.DictField(child=serializers.FloatField())
    cache = CacheSerializer()
    entrainement_en_cours = serializers.BooleanField()


class TotalsSerializer(serializers.Serializer[Any]):
    etudiants = serializers.IntegerField()
    epreuves = serializers.IntegerField()
    interactions = serializers.IntegerField()
    evaluations = serializers.IntegerField()
    commentaires = serializers.IntegerField()


class ByKindSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {kind: serializers.IntegerField() for kind in TypeInteraction.values}


class ModelSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    architecture = serializers.CharField()
    est_actif = serializers.BooleanField()
    eligible = serializers.BooleanField()
    entraine_le = serializers.DateTimeField()
    metriques = serializers.DictField(child=serializers.FloatField())
    requetes = serializers.IntegerField(help_text="Réponses de cette version sur la période.")


class BySourceSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {source: serializers.IntegerField() for source in (*SOURCES, NONE)}


class ByReasonSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {reason: serializers.IntegerField() for reason in REPLIS}


class ClickRateSerializer(serializers.Serializer[Any]):
    genre = serializers.ChoiceField(choices=ReponseServie.GENRES)
    montrees = serializers.IntegerField(help_text="Épreuves montrées, chaque fois comptée.")
    cliquees = serializers.IntegerField(
        help_text="Dont celles vues ou téléchargées dans les 24 heures, requete_id à l'appui."
    )
    taux = serializers.FloatField(allow_null=True)
    intervalle = serializers.ListField(
        child=serializers.FloatField(),
        min_length=2,
        max_length=2,
        allow_null=True,
        help_text="De Wilson, à 95 %.",
    )


class BySourceClickRateSerializer(ClickRateSerializer):
    source = serializers.ChoiceField(choices=SOURCES)  # type: ignore[assignment]


class ByRankClickRateSerializer(ClickRateSerializer):
    rang = serializers.IntegerField()


class ByVersionClickRateSerializer(BySourceClickRateSerializer):
    version = serializers.CharField(allow_blank=True, help_text="Vide : sans modèle.")


class ClicksSerializer(serializers.Serializer[Any]):
    par_source = BySourceClickRateSerializer(many=True)
    par_rang = ByRankClickRateSerializer(many=True)
    par_version = ByVersionClickRateSerializer(
        many=True, required=False, help_text="Pour les administrateurs seulement."
    )


class LatencySerializer(serializers.Serializer[Any]):
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)


class StatisticsSerializer(serializers.Serializer[Any]):
    jours = serializers.IntegerField()
    totaux = TotalsSerializer()
    interactions_par_type = ByKindSerializer()
    densite = serializers.FloatField()
    couverture_catalogue = serializers.FloatField(allow_null=True)
    taux_cache = serializers.FloatField(
        allow_null=True, help_text="Part des recommandations venues du cache."
    )
    requetes_par_source = BySourceSerializer(
        help_text="Demandes de recommandations et d'épreuves similaires, sur 90 jours au plus."
    )
    replis = ByReasonSerializer(
        help_text="Réponses que le modèle n'a pas remplies seul, par raison, sur 90 jours au plus."
    )
    latence_ms = LatencySerializer(
        help_text="Temps de calcul d'une réponse, sans l'authentification ni le réseau, à 9 % près."
    )
    telemetrie_disponible = serializers.BooleanField(
        help_text="Faux : Redis ne répond pas, les quatre champs qui précèdent ne disent rien."
    )
    clics = ClicksSerializer(
        help_text="Ce que les gens ouvrent de ce qu'on leur montre, hors administrateurs ; compté "
        "une fois par minute."
    )
    modeles = ModelSerializer(
        many=True, required=False, help_text="Pour les administrateurs seulement."
    )
