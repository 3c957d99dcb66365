import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.bandwidth import weak_etag
from apps.core.models import Epreuve, User
from apps.recommender import telemetry
from apps.recommender.api import serializers
from apps.recommender.model_store import Serving
from apps.recommender.services import recommendations, reports


@contextmanager
def timed() -> Iterator[dict[str, Any]]:
    """An answer to fill, counted with the time that took."""
    answer: dict[str, Any] = {}
    start = time.perf_counter()
    yield answer
    telemetry.record(
        source=answer["source"],
        version=answer["version_modele"],
        cached=answer["depuis_cache"],
        seconds=time.perf_counter() - start,
    )


def tagged(answer: dict[str, Any]) -> dict[str, Any]:
    """With its ETag: the same recommendations are the same answer, from the cache or not."""
    said = JSONRenderer().render(answer | {"depuis_cache": None})
    return answer | {"etag": weak_etag(said)}


def sent(answer: dict[str, Any]) -> Response:
    etag = answer.pop("etag")
    return Response(answer, headers={"ETag": etag})


@extend_schema(tags=["Recommandations"])
class PersonalizedView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        parameters=[serializers.PersonalizedQuery], responses=serializers.RecommendationsSerializer
    )
    def get(self, request: Request) -> Response:
        """Les épreuves que l'on recommande à la personne connectée."""
        user, asked = cast(User, request.user), request.META["QUERY_STRING"]
        with timed() as answer:
            answer |= recommendations.remembered(user, asked, partial(self.answer, request, user))
        return sent(answer)

    def answer(self, request: Request, user: User, serving: Serving) -> dict[str, Any]:
        filters = serializers.PersonalizedQuery.read(request)
        context = {"request": request, "champs": filters.pop("champs", None)}
        answer = recommendations.personalized(
            user,
            serving,
            top_k=filters.pop("top_k"),
            exclude_seen=filters.pop("exclude_seen"),
            explain=filters.pop("expliquer"),
            variety=filters.pop("diversite"),
            filters=filters,
        )
        return tagged(serializers.RecommendationsSerializer(answer, context=context).data)


@extend_schema(tags=["Recommandations"])
class SimilarView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        parameters=[serializers.SimilarQuery], responses=serializers.RecommendationsSerializer
    )
    def get(self, request: Request) -> Response:
        """Les épreuves proches d'une épreuve, jamais elle-même."""
        asked = serializers.SimilarQuery.read(request)
        epreuve = Epreuve.objects.visible_to(request.user).filter(pk=asked["epreuve_id"]).first()
        if epreuve is None:
            raise Http404
        with timed() as answer:
            similar = recommendations.similar(epreuve, top_k=asked["top_k"])
            context = {"request": request, "champs": asked.get("champs")}
            answer |= tagged(serializers.RecommendationsSerializer(similar, context=context).data)
        return sent(answer)


@extend_schema(tags=["Recommandations"])
class StatusView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(responses=serializers.StatusSerializer)
    def get(self, request: Request) -> Response:
        """Le modèle en service et l'état du cache."""
        serializers.NoQuery.read(request)
        return Response(serializers.StatusSerializer(reports.status()).data)


@extend_schema(tags=["Recommandations"])
class StatisticsView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        parameters=[serializers.StatisticsQuery], responses=serializers.StatisticsSerializer
    )
    def get(self, request: Request) -> Response:
        """Les chiffres de la banque et de ses recommandations."""
        asked = serializers.StatisticsQuery.read(request)
        figures = reports.statistics(days=asked["jours"], with_models=request.user.is_staff)
        return Response(serializers.StatisticsSerializer(figures).data)
