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
from apps.core.models import Contexte, Epreuve, User
from apps.core.schema import ERROR
from apps.recommender import telemetry
from apps.recommender.api import serializers
from apps.recommender.model_store import Serving
from apps.recommender.models import ReponseServie
from apps.recommender.services import recommendations, reports
from apps.recommender.services.answers import log_answer


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
        repli=answer["repli"],
        seconds=time.perf_counter() - start,
    )


# Goes with an answer, and is not said.
UNSAID = ("etag", "epreuves", "repli")


def said_of(answer: recommendations.Answer, **context: Any) -> dict[str, Any]:
    """With its ETag: the same recommendations are the same answer, from the cache or not."""
    said = serializers.RecommendationsSerializer(answer, context=context).data
    etag = weak_etag(JSONRenderer().render(said | {"depuis_cache": None}))
    shown = [one.epreuve.pk for one in answer.recommendations]
    return said | dict(zip(UNSAID, (etag, shown, answer.repli), strict=True))


class Shown(Response):
    """Is logged once it was sent. A 304 is not: it shows again what was shown under another id."""

    def __init__(self, request: Request, genre: str, answer: dict[str, Any]) -> None:
        etag, epreuves, _ = (answer.pop(name) for name in UNSAID)
        self.entry = ReponseServie(
            user=cast(User, request.user),
            genre=genre,
            version_modele=answer["version_modele"] or "",
            epreuves=epreuves,
            sources=" ".join(one["source"] for one in answer["recommendations"]),
        )
        self.is_read = request.method == "GET"
        said = answer | {"requete_id": str(self.entry.pk)}
        super().__init__(said, headers={"ETag": etag})

    def close(self) -> None:
        try:
            if self.is_read:
                log_answer(self.entry)
        finally:
            super().close()


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
        return Shown(request, Contexte.PERSONNALISEE, answer)

    def answer(self, request: Request, user: User, serving: Serving) -> dict[str, Any]:
        filters = serializers.PersonalizedQuery.read(request)
        champs = filters.pop("champs", None)
        answer = recommendations.personalized(
            user,
            serving,
            top_k=filters.pop("top_k"),
            exclude_seen=filters.pop("exclude_seen"),
            explain=filters.pop("expliquer"),
            variety=filters.pop("diversite"),
            filters=filters,
        )
        return said_of(answer, request=request, champs=champs)


@extend_schema(tags=["Recommandations"])
class SimilarView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        parameters=[serializers.SimilarQuery],
        responses={200: serializers.RecommendationsSerializer, 404: ERROR},
    )
    def get(self, request: Request) -> Response:
        """Les épreuves proches d'une épreuve, jamais elle-même."""
        asked = serializers.SimilarQuery.read(request)
        epreuve = Epreuve.objects.visible_to(request.user).filter(pk=asked["epreuve_id"]).first()
        if epreuve is None:
            raise Http404
        with timed() as answer:
            similar = recommendations.similar(epreuve, top_k=asked["top_k"])
            answer |= said_of(similar, request=request, champs=asked.get("champs"))
        return Shown(request, Contexte.SIMILAIRE, answer)


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
