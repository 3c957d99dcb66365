"""Trainings: ask for one, follow it, stop it, resume it."""

from typing import Any, cast

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.exceptions import Conflict
from apps.core.fields import NumberField
from apps.core.models import User
from apps.core.schema import ERROR
from apps.recommender.api.permissions import TrainingPermission
from apps.recommender.models import Declencheur, Etape, TrainingLog
from apps.recommender.options import OPTIONS, Option, OptionRefused, training_config
from apps.recommender.services import training_requests, training_runs
from apps.recommender.services.training_runs import (
    NotResumable,
    NotStoppable,
    TrainingInProgress,
)


class TrainingLogSerializer(serializers.ModelSerializer[TrainingLog]):
    etape = serializers.ChoiceField(Etape.choices, allow_blank=True)
    lance_par = serializers.CharField(source="lance_par.username", allow_null=True)
    arret_demande_par = serializers.CharField(source="arret_demande_par.username", allow_null=True)
    peut_reprendre = serializers.SerializerMethodField(
        help_text="Arrêté avant sa fin, et ses données sont encore là."
    )

    class Meta:
        model = TrainingLog
        fields = [
            *("id", "statut", "etape", "version", "declencheur", "lance_par"),
            *("epoch_courante", "epoch_totale", "meilleure_epoch", "debut", "fin", "battement"),
            *("reprises", "peut_reprendre", "arret_demande_le", "arret_demande_par", "erreur"),
            *("nb_utilisateurs", "nb_epreuves", "nb_interactions", "empreinte_donnees"),
            *("hyperparametres", "metriques", "references", "historique"),
        ]
        read_only_fields = fields

    def get_peut_reprendre(self, run: TrainingLog) -> bool:
        return training_runs.is_resumable(run)


class TrainingLineSerializer(TrainingLogSerializer):
    """Without what only its page shows, and which grows with each epoch."""

    class Meta(TrainingLogSerializer.Meta):
        fields = [name for name in TrainingLogSerializer.Meta.fields if name != "historique"]
        read_only_fields = fields


class AskedSerializer(serializers.ModelSerializer[TrainingLog]):
    class Meta:
        model = TrainingLog
        fields = ["id", "statut", "version"]
        read_only_fields = fields


def _field_of(option: Option) -> serializers.Field[Any, Any, Any, Any]:
    common = {"default": option.default, "help_text": option.help}
    if option.choices:
        return serializers.ChoiceField(option.choices, **common)
    if isinstance(option.default, bool):
        return serializers.BooleanField(**common)
    if option.bounds is None:
        return NumberField(**common)
    least, most = option.bounds
    return serializers.IntegerField(min_value=least, max_value=most, **common)


class TrainingOptionsSerializer(serializers.Serializer[Any]):
    """A typing error in the name of an option must not train for hours with its default."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        version = serializers.CharField(
            max_length=64,
            default="",
            help_text="Nom du modèle ; absent : la date et l'architecture.",
        )
        return {option.name: _field_of(option) for option in OPTIONS} | {"version": version}

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        if unknown := set(data) - set(self.fields):
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                dict.fromkeys(sorted(unknown), f"Option inconnue : choisissez parmi {known}.")
            )
        return values

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"config": training_config(attrs), "version": attrs["version"]}
        except OptionRefused as error:
            raise serializers.ValidationError({error.option: str(error)}) from None


ASKED = {202: AskedSerializer, 409: ERROR}


@extend_schema(tags=["Entraînements"])
class EntrainementViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[TrainingLog]
):
    permission_classes = [TrainingPermission]
    queryset = TrainingLog.objects.select_related("lance_par", "arret_demande_par")
    lookup_value_converter = "int"

    def get_serializer_class(self) -> type[TrainingLogSerializer]:
        return TrainingLineSerializer if self.action == "list" else TrainingLogSerializer

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Les entraînements, le plus récent d'abord."""
        return super().list(request, *args, **kwargs)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Un entraînement, avec son historique par epoch."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(request=TrainingOptionsSerializer, responses=ASKED)
    def create(self, request: Request) -> Response:
        """Demander un entraînement ; il se fait ailleurs, suivez-le à l'adresse donnée."""
        asked = TrainingOptionsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            run = training_requests.request_training(
                **asked.validated_data,
                declencheur=Declencheur.API,
                lance_par=cast(User, request.user),
            )
        except TrainingInProgress as error:
            raise Conflict(str(error)) from None
        except OptionRefused as error:
            raise serializers.ValidationError({error.option: str(error)}) from None
        return _accepted(run)

    @extend_schema(request=None, responses=ASKED)
    @action(detail=True, methods=["post"], url_path="annuler")
    def stop(self, request: Request, pk: int) -> Response:
        """Arrêter un entraînement : aussitôt s'il attend, en une epoch au plus s'il tourne."""
        run = self.get_object()
        try:
            training_runs.ask_to_stop(run, par=cast(User, request.user))
        except NotStoppable as error:
            raise Conflict(str(error)) from None
        return _accepted(run)

    @extend_schema(request=None, responses=ASKED)
    @action(detail=True, methods=["post"], url_path="reprendre")
    def resume(self, request: Request, pk: int) -> Response:
        """Reprendre un entraînement interrompu là où il en était, avec les mêmes données."""
        run = self.get_object()
        try:
            training_requests.request_resume(run)
        except (NotResumable, TrainingInProgress) as error:
            raise Conflict(str(error)) from None
        return _accepted(run)


def _accepted(run: TrainingLog) -> Response:
    where = reverse("entrainements-detail", args=[run.pk])
    return Response(AskedSerializer(run).data, status=202, headers={"Location": where})
