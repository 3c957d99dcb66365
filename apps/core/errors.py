"""The one error form: `{type, errors: [{code, detail, attr}], request_id}`, for every failure."""

import dataclasses
import logging
import sys
from typing import Any, cast

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views import defaults
from django.views.csrf import csrf_failure as default_csrf_failure
from django.views.decorators.csrf import csrf_exempt
from drf_standardized_errors.formatter import ExceptionFormatter as BaseFormatter
from drf_standardized_errors.handler import ExceptionHandler as BaseHandler
from drf_standardized_errors.handler import exception_handler
from rest_framework.exceptions import APIException, ParseError
from rest_framework_simplejwt.exceptions import AuthenticationFailed

from apps.core import database
from apps.core.exceptions import Conflict, DatabaseDown, Duplicate, FileTooLarge, TooLarge
from apps.core.uploads import UploadTooLarge

logger = logging.getLogger(__name__)

FOREIGN_KEY_VIOLATION = "23503"


def _points_to_nothing(error: Exception) -> bool:
    """Somebody, or what they write about, was erased between its reading and our writing."""
    if not isinstance(error, IntegrityError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state == FOREIGN_KEY_VIOLATION or str(error) == "FOREIGN KEY constraint failed"


class ExceptionHandler(BaseHandler):
    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if _points_to_nothing(exc):
            # Not its text, which tells whose row it was.
            logger.warning("Écriture refusée : elle vise ce qui vient d'être effacé.")
            return Conflict("Ce que vous visez, ou votre compte, vient d'être effacé.")
        if database.is_away(exc):
            return DatabaseDown()
        if isinstance(exc, RequestDataTooBig):
            return FileTooLarge() if isinstance(exc, UploadTooLarge) else TooLarge()
        if isinstance(exc, (SuspiciousOperation, UnreadablePostError)):
            return ParseError()
        if isinstance(exc, AuthenticationFailed) and isinstance(exc.detail, dict):
            # Its code is said as a second error, and as one of a field.
            exc.detail = cast(dict[str, Any], exc.detail)["detail"]
        return super().convert_known_exceptions(exc)

    def get_headers(self, exc: APIException) -> dict[str, str]:
        """DRF knows no delay where more requests passed than the limit: a minute then."""
        headers: dict[str, str] = super().get_headers(exc)
        if exc.status_code == 429:
            headers.setdefault("Retry-After", "60")
        return headers | getattr(exc, "headers", {})


class ExceptionFormatter(BaseFormatter):
    def format_error_response(self, error_response: Any) -> dict[str, Any]:
        request_id = getattr(self.context.get("request"), "request_id", None)
        body = _printable(dataclasses.asdict(error_response)) | {"request_id": request_id}
        if isinstance(self.exc, Duplicate) and self.exc.epreuve:
            body["epreuve"] = self.exc.epreuve
        return body


def _printable(body: dict[str, Any]) -> dict[str, Any]:
    """A lone surrogate of the request, echoed in a message, could not be encoded."""
    for error in body["errors"]:
        for key in ("detail", "attr"):
            if error[key] is not None:
                error[key] = error[key].encode(errors="replace").decode()
    return body


# --- Failures outside of DRF: unknown paths, refused hosts, broken middleware ------------


def error_response(
    request: HttpRequest, status: int, code: str, detail: str, *, wait: int | None = None
) -> JsonResponse:
    body = {
        "type": "server_error" if status >= 500 else "client_error",
        "errors": [{"code": code, "detail": detail, "attr": None}],
        "request_id": getattr(request, "request_id", None),
    }
    headers = {"Retry-After": str(wait)} if wait else {}
    return JsonResponse(
        body, status=status, headers=headers, json_dumps_params={"ensure_ascii": False}
    )


def is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


@csrf_exempt
def unknown_path(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """Stands behind every path of the API, so that its 404 has the one form, also with DEBUG."""
    detail = "Cette adresse n'existe pas dans l'API : voyez /api/docs/."
    if not request.path_info.endswith("/"):
        detail += " Les adresses de l'API se terminent par « / »."
    return error_response(request, 404, "not_found", detail)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_api(request):
        if isinstance(exception, UploadTooLarge):
            detail = {"detail": FileTooLarge().detail}
            return render(request, "core/trop_volumineux.html", detail, status=413)
        return defaults.bad_request(request, exception)
    return error_response(request, 400, "parse_error", "La requête est mal formée.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_api(request):
        return defaults.permission_denied(request, exception)
    return error_response(request, 403, "permission_denied", _("Permission denied"))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if not is_api(request):
        return default_csrf_failure(request, reason)
    return error_response(request, 403, "csrf", "Le jeton CSRF est absent ou périmé.")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_api(request):
        return defaults.page_not_found(request, exception)
    return unknown_path(request)


def server_error(request: HttpRequest) -> HttpResponse:
    if database.is_away(sys.exc_info()[1]):
        return error_response(
            request,
            503,
            DatabaseDown.default_code,
            DatabaseDown.default_detail,
            wait=DatabaseDown.wait,
        )
    if not is_api(request):
        return defaults.server_error(request)
    return error_response(request, 500, "error", "Erreur interne : signalez le request_id.")


__all__ = ["ExceptionFormatter", "ExceptionHandler", "error_response", "exception_handler"]
