import datetime as dt
import logging
import re
import time
import uuid
from collections.abc import Callable
from urllib.parse import quote

from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from apps.core.errors import bad_request, is_api
from apps.core.logs import about
from apps.core.metrics import observe_request

logger = logging.getLogger(__name__)
access = logging.getLogger("acces")

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIdMiddleware:
    """Give each request an id, the caller's own if it is decent, and answer it in X-Request-ID.

    It also counts each, and writes the one line of the log about it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        start = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        request.request_id = given if _ACCEPTED.fullmatch(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
        with about(request.request_id):  # type: ignore[attr-defined]
            response = self.get_response(request)
            drain(request)
            seconds = time.perf_counter() - start
            log_access(request, response, seconds)
        matched = getattr(request.resolver_match, "view_name", "aucune")
        observe_request(matched, request.method, response.status_code, seconds)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response


def drain(request: HttpRequest) -> None:
    """Of a body that nobody read gunicorn closes the connection, and the answer is lost."""
    stream = getattr(request, "_stream", None)
    try:
        while stream is not None and stream.read(1 << 16):
            pass
    except OSError:
        return  # Whoever sent it is gone.


def log_access(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """Quoted, a path cannot forge a line; what follows its `?` is nobody's business."""
    facts = {
        "methode": request.method,
        "chemin": quote(request.path_info),
        "statut": response.status_code,
        "duree_ms": round(seconds * 1000, 1),
        "utilisateur": _empreinte(request),
    }
    line = "{methode} {chemin} {statut} {duree_ms} ms, utilisateur {utilisateur}"
    access.log(_level(response.status_code), line.format_map(facts), extra=facts)


def _level(status: int) -> int:
    """A refusal is the client's business, unless too many are."""
    if status >= 500:
        return logging.ERROR
    return logging.WARNING if status == 429 else logging.INFO


def _empreinte(request: HttpRequest) -> str | None:
    """Only if somebody asked before: reading the user of a session asks the database."""
    user = request.__dict__.get("user")
    if isinstance(user, SimpleLazyObject):
        user = request.__dict__.get("_cached_user")
    return getattr(user, "empreinte", None)


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
