import datetime as dt
import logging
import re
import uuid
from collections.abc import Callable

from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.core.errors import bad_request, is_api

logger = logging.getLogger(__name__)

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIdMiddleware:
    """Give each request an id, the caller's own if it is decent, and answer it in X-Request-ID."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request.request_id = given if _ACCEPTED.fullmatch(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response


class ImpossibleValueMiddleware:
    """A filter of the administration may ask for what no column holds: NUL, the year 10¹⁰."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        impossible = isinstance(exception, (DataError, OverflowError))
        if impossible and request.method == "GET" and not is_api(request):
            # It may also be a fault of ours: the log keeps its trace.
            logger.warning("Valeur impossible : %s", request.path_info, exc_info=exception)
            return bad_request(request, exception)
        return None


class ApiTimeMiddleware:
    """Dates are in UTC under /api/, in the time of Porto-Novo elsewhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_api(request):
            return self.get_response(request)
        with timezone.override(dt.UTC):
            return self.get_response(request)
