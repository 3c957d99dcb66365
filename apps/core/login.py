"""What axes, the guard of the login, needs to know of us."""

from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.throttling import BaseThrottle

from apps.core.errors import error_response

LOCKED = "Trop d'essais pour ce compte depuis cette adresse. Réessayez dans 15 minutes."


def lock_seconds() -> int:
    return int(settings.AXES_COOLOFF_TIME.total_seconds())


def attempted_username(request: Any, credentials: dict[str, Any] | None = None) -> str:
    """One account has one count of failures, however its name is written: see Users."""
    username = (credentials or request.POST).get("username") or ""
    return str(username).lower()[:255]


def client_address(request: Any) -> str | None:
    """The address that throttles see: what a client forges before NUM_PROXIES does not count."""
    try:
        return str(ip_address(BaseThrottle().get_ident(request) or ""))
    except ValueError:
        return None


def locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """Axes' own answer, which the login page of the admin meets."""
    return error_response(request, 429, "throttled", LOCKED, wait=lock_seconds())
