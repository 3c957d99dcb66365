"""For those who watch the server: is it alive, is it ready, what has it counted."""

from functools import cache
from typing import Any

from django.conf import settings
from django.db import Error, connection
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
from apps.core.exceptions import DatabaseDown

READY, NOT_READY = "pret", "indisponible"
OK, DEGRADED, DOWN, BEHIND, UNKNOWN = "ok", "degrade", "indisponible", "en_attente", "inconnu"


class Behind(Exception):
    """The code wants migrations that nobody ran."""


def readiness() -> dict[str, str]:
    """Whether to send requests here. Without its cache the bank is slower, and right."""
    state = _database() | {"cache": OK if cache_answers() else DEGRADED}
    ready = state["base"] == state["migrations"] == OK
    return {"statut": READY if ready else NOT_READY} | state


def _database() -> dict[str, str]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        _require_migrated()
    except Error:
        return {"base": DOWN, "migrations": UNKNOWN}
    except Behind:
        return {"base": OK, "migrations": BEHIND}
    return {"base": OK, "migrations": OK}


@cache
def _require_migrated() -> None:
    """Asked until the answer is yes, which stays true for as long as this code runs."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise Behind


class LiveSerializer(serializers.Serializer[Any]):
    statut = serializers.ChoiceField(["vivant"])


class ReadySerializer(serializers.Serializer[Any]):
    statut = serializers.ChoiceField([READY, NOT_READY])
    base = serializers.ChoiceField([OK, DOWN])
    migrations = serializers.ChoiceField([OK, BEHIND, UNKNOWN])
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
    @extend_schema(responses={200: ReadySerializer, 503: ReadySerializer})
    def get(self, request: Request) -> Response:
        """Peut-on envoyer des requêtes ici ? 503 sans base de données ou avant ses migrations."""
        state = readiness()
        if state["statut"] == READY:
            return Response(state)
        return Response(state, status=503, headers={"Retry-After": str(DatabaseDown.wait)})


@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    """For who knows METRIQUES_JETON; without one there is no such page."""
    if not settings.METRIQUES_JETON:
        raise Http404
    wanted = f"Bearer {settings.METRIQUES_JETON}"
    if not constant_time_compare(request.headers.get("Authorization", ""), wanted):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)
