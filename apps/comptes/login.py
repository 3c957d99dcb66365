"""The doors of the bank, and what axes, their guard, needs to know of us."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, cast

from axes.handlers.proxy import AxesProxyHandler
from django import forms
from django.conf import settings
from django.contrib.auth import authenticate
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from rest_framework.exceptions import APIException, AuthenticationFailed, Throttled
from unfold.forms import AuthenticationForm

from apps.comptes.addresses import client_address
from apps.comptes.services.password_links import link_path
from apps.core.errors import error_response
from apps.core.models import User

UNKNOWN = "Aucun compte actif n'a été trouvé avec les identifiants fournis."
LOCKED = "Trop d'essais pour ce compte depuis cette adresse. Réessayez dans 15 minutes."


# SQLite serves one process, and has one writer: it must not wait while a password is hashed.
_TURNS = tuple(Lock() for _ in range(64))


def lock_seconds() -> int:
    return int(settings.AXES_COOLOFF_TIME.total_seconds())


def attempted_username(request: Any, credentials: dict[str, Any] | None = None) -> str:
    """One account has one count of failures, however its name is written: see Users."""
    username = (credentials or request.POST).get("username") or ""
    return str(username).lower()[:255]


@contextmanager
def turn(request: Any, username: str) -> Iterator[None]:
    """Tries for one account from one address wait for each other: each meets all failures."""
    who = f"{attempted_username(request, {'username': username})}|{client_address(request)}"
    key = int.from_bytes(hashlib.sha256(who.encode()).digest()[:8], signed=True)
    if connection.vendor == "sqlite":
        with _TURNS[key % len(_TURNS)]:
            yield
        return
    refusal: Exception | None = None
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])
        try:
            yield
        except (APIException, forms.ValidationError) as error:
            refusal = error
    if refusal:  # Raised here, it leaves the count of failures written.
        raise refusal


def identify(request: Any, username: str, password: str) -> User:
    """Whose password it is; five failures from one address close an account there, or a name."""
    credentials = {"username": username, "password": password}
    with turn(request, username):
        if not AxesProxyHandler.is_allowed(request, credentials):
            raise Throttled(lock_seconds(), LOCKED)
        user = authenticate(request, **credentials)
        if user is None:
            raise AuthenticationFailed(UNKNOWN, code="no_active_account")
        AxesProxyHandler.reset_attempts(
            username=attempted_username(request, credentials), ip_address=client_address(request)
        )
    return user


class LoginForm(AuthenticationForm):  # type: ignore[misc]
    """The door of the administration."""

    def clean(self) -> dict[str, Any]:
        with turn(self.request, self.cleaned_data.get("username", "")):
            return cast(dict[str, Any], super().clean())

    def confirm_login_allowed(self, user: User) -> None:
        super().confirm_login_allowed(user)
        if user.mot_de_passe_temporaire:
            choose = 'Ce mot de passe est temporaire : <a href="{}">choisissez-en un autre</a>.'
            raise forms.ValidationError(format_html(choose, link_path(user)))


def locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """Axes' own answer, which the login page of the admin meets."""
    return error_response(request, 429, "throttled", LOCKED, wait=lock_seconds())
