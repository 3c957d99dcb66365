"""Tokens that end with the sessions of their account.

Signed is not enough either: a claim of a type or size we never write would break a query.
"""

import re
from typing import Any, Self, cast

from django.utils.translation import gettext as _
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken, TokenBackendError, TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from apps.core.models import User

CLOSED = "Cette session est fermée : connectez-vous de nouveau."
_USER_ID = re.compile(r"[0-9]{1,18}")
_JTI = re.compile(r"[0-9a-f]{32}")
_VERSION = re.compile(r"[0-9a-f]{16}")
_LAST_SECOND = 10**11  # In the year 5138: past it, dates overflow.


class OwnClaims(tokens.Token):
    def __init__(self, token: Any = None, verify: bool = True) -> None:
        """Looks at the claims before the library does, which trusts their types."""
        if token is not None and not _are_ours(self._unverified(token)):
            raise TokenError(_("Token is invalid"))
        super().__init__(token, verify)

    @classmethod
    def for_user(cls, user: User) -> Self:  # type: ignore[override]
        token = super().for_user(user)
        token["token_version"] = _version(user)
        return token

    def holder(self) -> User:
        """Whoever it was made for, unless their sessions were closed since."""
        try:
            user = User.objects.get(pk=self["user_id"], is_active=True)
        except User.DoesNotExist:
            raise TokenError(CLOSED) from None
        if self["token_version"] != _version(user):
            raise TokenError(CLOSED)
        return user

    def _unverified(self, token: Any) -> dict[str, Any]:
        try:
            return self.get_token_backend().decode(token, verify=False)
        except TokenBackendError:
            raise TokenError(_("Token is invalid")) from None


def _are_ours(claims: dict[str, Any]) -> bool:
    times = [claims.get("exp"), claims.get("iat", 0), claims.get("nbf", 0)]
    return (
        _is(_USER_ID, claims.get("user_id"))
        and _is(_JTI, claims.get("jti"))
        and _is(_VERSION, claims.get("token_version"))
        and all(type(time) is int and 0 <= time < _LAST_SECOND for time in times)
    )


def _is(form: re.Pattern[str], claim: Any) -> bool:
    return isinstance(claim, str) and form.fullmatch(claim) is not None


def _version(user: User) -> str:
    return user.get_session_auth_hash()[:16]


class AccessToken(OwnClaims, tokens.AccessToken):
    pass


class RefreshToken(OwnClaims, tokens.RefreshToken):  # type: ignore[misc]
    def use_up(self) -> None:
        """Of those who use it at the same time, the unique row lets one through."""
        _used, new = cast(tuple[BlacklistedToken, bool], self.blacklist())
        if not new:
            raise TokenError(_("Token is blacklisted"))


class UntypedToken(OwnClaims, tokens.UntypedToken):
    pass


def new_tokens(user: User) -> dict[str, str]:
    refresh = RefreshToken.for_user(user)
    return {"access": str(refresh.access_token), "refresh": str(refresh)}


class Authentication(JWTAuthentication):
    def get_validated_token(self, raw_token: bytes) -> AccessToken:
        try:
            return AccessToken(raw_token)
        except TokenError as error:
            raise InvalidToken(error.args[0]) from None

    def get_user(self, validated_token: AccessToken) -> User:  # type: ignore[override]
        try:
            return validated_token.holder()
        except TokenError as error:
            raise InvalidToken(error.args[0]) from None
