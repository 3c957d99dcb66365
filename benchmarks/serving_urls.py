"""What a recommendation is compared with: an empty view, and the model alone."""

import time
from collections.abc import Callable
from typing import Any, cast

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.models import User
from apps.recommender import model_store
from apps.recommender.selectors import past_of
from config.urls import handler400, handler403, handler404, handler500
from config.urls import urlpatterns as product

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


class EmptyView(APIView):
    """The same authentication, throttles and middleware as every view; nothing of its own."""

    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        return Response({})


class ScoringView(APIView):
    """How long, in ms, the model takes to score the whole catalogue for whoever asks."""

    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        predictor = model_store.active_model().predictor
        if predictor is None:
            return Response({"ms": None}, status=409)
        user = cast(User, request.user)
        past = past_of(user)
        start = time.perf_counter()
        predictor.user_scores(user.pk, past)
        return Response({"ms": 1e3 * (time.perf_counter() - start)})


class QueryCount:
    """Answers the number of SQL queries in X-Queries, to a request that carries that header."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "X-Queries" not in request.headers:
            return self.get_response(request)
        queries = 0

        def count(execute: Callable[..., Any], *args: Any) -> Any:
            nonlocal queries
            queries += 1
            return execute(*args)

        with connection.execute_wrapper(count):
            response = self.get_response(request)
        response["X-Queries"] = str(queries)
        return response


urlpatterns = [
    path("api/mesure/vide/", EmptyView.as_view()),
    path("api/mesure/notation/", ScoringView.as_view()),
    *product,
]
