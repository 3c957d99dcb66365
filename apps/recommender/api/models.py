"""Models: their fiches, which one serves, and the journal of it. For administrators."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.exceptions import Conflict
from apps.core.filters import PageQuery, QueryString
from apps.core.models import MOTIF_MAX, User
from apps.core.schema import ERROR
from apps.recommender import selectors
from apps.recommender.api.permissions import JournalPermission, ModelPermission
from apps.recommender.models import (
    ActivationModele,
    DeclencheurActivation,
    ModelMetadata,
)
from apps.recommender.services.activation import (
    ActivationRefused,
    MotiveMissing,
    activate,
    return_to_previous,
)


class ModeleSerializer(serializers.ModelSerializer[ModelMetadata]):
    entraine_le = serializers.DateTimeField(source="date_creation")
    metriques = serializers.DictField()

    class Meta:
        model = ModelMetadata
        fields = (
            "version",
            "architecture",
            "est_actif",
            "eligible",
            "motif_refus",
            "derogation",
            "entraine_le",
            "derniere_interaction",
            "active_le",
            "fichiers_supprimes_le",
            "metriques",
        )


class ModeleDetailSerializer(ModeleSerializer):
    entrainement = serializers.IntegerField(source="training_log_id")
    fiche = serializers.DictField(help_text="Vide pour un modèle d'avant les fiches.")

    class Meta(ModeleSerializer.Meta):
        fields = (  # type: ignore[assignment]
            *ModeleSerializer.Meta.fields,
            "embedding_dim",
            "nb_utilisateurs",
            "nb_epreuves",
            "taille_octets",
            "sha256",
            "entrainement",
            "fiche",
        )


class ActivationSerializer(serializers.ModelSerializer[ActivationModele]):
    version = serializers.CharField(source="modele.version")
    precedente = serializers.CharField(source="precedente.version", allow_null=True)
    jusqu_a = serializers.DateTimeField(
        allow_null=True, help_text="Quand un autre l'a remplacé ; null : il sert."
    )
    active_par = serializers.CharField(source="active_par.username", allow_null=True)

    class Meta:
        model = ActivationModele
        fields = (
            "version",
            "precedente",
            "active_le",
            "jusqu_a",
            "active_par",
            "declencheur",
            "motif",
            "derogation",
        )


class SwitchSerializer(QueryString):
    motif = serializers.CharField(
        max_length=MOTIF_MAX, default="", allow_blank=True, help_text="Pour le journal."
    )
    actif = serializers.CharField(
        max_length=64,
        required=False,
        allow_blank=True,
        help_text="La version que vous voyez servir, vide pour aucune : 409 si elle a changé.",
    )


class ActivateSerializer(SwitchSerializer):
    deroger = serializers.BooleanField(
        default=False,
        help_text="L'activer bien qu'il soit refusé, pour la raison dite en `motif`.",
    )


class JournalQuery(PageQuery):
    le = serializers.DateTimeField(required=False, help_text="Ce qui servait à ce moment.")
    depuis = serializers.DateTimeField(required=False, help_text="Ce qui a servi après.")
    jusqu_a = serializers.DateTimeField(required=False, help_text="Ce qui a servi avant.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "le" in attrs and {"depuis", "jusqu_a"} & attrs.keys():
            raise ValidationError({"le": "Donnez un moment, ou une période, pas les deux."})
        if attrs.get("depuis") and attrs.get("jusqu_a") and attrs["depuis"] > attrs["jusqu_a"]:
            raise ValidationError({"jusqu_a": "La période finit avant de commencer."})
        return attrs


@contextmanager
def refusals() -> Iterator[None]:
    """What the service refuses, as the API says it."""
    try:
        yield
    except MotiveMissing as error:
        raise ValidationError({"motif": str(error)}) from None
    except ActivationRefused as error:
        raise Conflict(str(error)) from None


@extend_schema(tags=["Modèles"])
class ModelListView(generics.ListAPIView[ModelMetadata]):
    permission_classes = [ModelPermission]
    serializer_class = ModeleSerializer
    queryset = ModelMetadata.objects.defer("fiche")

    @extend_schema(parameters=[PageQuery])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Les modèles entraînés, les plus récents d'abord."""
        PageQuery.read(request)
        return super().get(request, *args, **kwargs)


class OneModelView(generics.GenericAPIView[ModelMetadata]):
    permission_classes = [ModelPermission]
    serializer_class = ModeleDetailSerializer
    queryset = ModelMetadata.objects.all()
    lookup_field = "version"

    def told(self, version: str) -> Response:
        model = ModelMetadata.objects.get(version=version)
        return Response(ModeleDetailSerializer(model).data)


@extend_schema(tags=["Modèles"])
class ModelView(OneModelView):
    def get(self, request: Request, version: str) -> Response:
        """Un modèle et sa fiche : données, protocole, mesures, tranches, limites."""
        return self.told(self.get_object().version)


@extend_schema(tags=["Modèles"])
class ActivateView(OneModelView):
    @extend_schema(
        request=ActivateSerializer, responses={200: ModeleDetailSerializer, 400: ERROR, 409: ERROR}
    )
    def post(self, request: Request, version: str) -> Response:
        """Mettre ce modèle en service ; sans effet s'il sert déjà."""
        model, asked = self.get_object(), ActivateSerializer.read_body(request)
        with refusals():
            activate(
                model,
                declencheur=DeclencheurActivation.API,
                par=cast(User, request.user),
                motif=asked["motif"],
                override=asked["deroger"],
                instead_of=asked.get("actif"),
            )
        return self.told(version)


@extend_schema(tags=["Modèles"])
class ReturnView(APIView):
    permission_classes = [ModelPermission]

    @extend_schema(
        request=SwitchSerializer, responses={200: ModeleDetailSerializer, 400: ERROR, 409: ERROR}
    )
    def post(self, request: Request) -> Response:
        """Remettre en service le modèle qui servait avant le modèle actif, et n'était pas refusé.

        Encore une fois, et c'est celui d'avant : jamais celui qui vient d'être quitté.
        """
        asked = SwitchSerializer.read_body(request)
        with refusals():
            activation = return_to_previous(
                declencheur=DeclencheurActivation.API,
                par=cast(User, request.user),
                motif=asked["motif"],
                instead_of=asked.get("actif"),
            )
        return Response(ModeleDetailSerializer(activation.modele).data)


@extend_schema(tags=["Modèles"])
class JournalView(generics.ListAPIView[ActivationModele]):
    permission_classes = [JournalPermission]
    serializer_class = ActivationSerializer
    queryset = ActivationModele.objects.none()

    @extend_schema(parameters=[JournalQuery])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Ce qui a servi, et quand : le journal des activations, les plus récentes d'abord."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[ActivationModele]:
        asked = JournalQuery.read(self.request)
        first, last = (asked.get("le", asked.get(bound)) for bound in ("depuis", "jusqu_a"))
        rows = selectors.activations()
        if last:
            rows = rows.filter(active_le__lte=last)
        if first:
            rows = rows.filter(Q(jusqu_a=None) | Q(jusqu_a__gt=first))
        return rows
