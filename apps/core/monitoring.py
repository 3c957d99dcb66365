"""For those who watch the server: is it alive, is it ready, what has it counted."""

from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core import metrics
from apps.core.cache import cache_answers
from apps.core.exceptions import MigrationsMissing
from apps.core.schema import ERROR

READY, OK, DEGRADED = "pret", "ok", "degrade"


def require_ready() -> None:
    """What a request cannot do without; the error says what lacks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    _require_migrated()


@cache
def _require_migrated() -> None:
    """Asked until the answer is yes, which stays true for as long as this code runs."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MigrationsMissing


class LiveSerializer(serializers.Serializer[Any]):
    statut = serializers.ChoiceField(["vivant"])


class ReadySerializer(serializers.Serializer[Any]):
    statut = serializers.ChoiceField([READY])
    cache = serializers.ChoiceField([OK, DEGRADED])


class ProbeView(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = []


@extend_schema(tags=["Santé"])
class LiveView(ProbeView):
    @extend_schema(responses=LiveSerializer)
    def get(self, request: Request) -> Response:
        """Le processus répond ; rien d'autre n'est demandé."""
        return Response({"statut": "vivant"})


@extend_schema(tags=["Santé"])
class ReadyView(ProbeView):
    @extend_schema(responses={200: ReadySerializer, 503: ERROR})
    def get(self, request: Request) -> Response:
        """Peut-on envoyer des requêtes ici ? Sans le cache la banque est lente, et juste."""
        require_ready()
        found = OK if cache_answers() else DEGRADED
        return Response({"statut": READY, "cache": found})


@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    """For who knows METRIQUES_JETON; without one there is no such page."""
    if not settings.METRIQUES_JETON:
        raise Http404
    wanted = f"Bearer {settings.METRIQUES_JETON}"
    if not constant_time_compare(request.headers.get("Authorization", ""), wanted):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)
