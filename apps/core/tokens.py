"""Signed is not enough: a claim of a type or size we never write would break a query."""

import re
from typing import Any

from django.utils.translation import gettext as _
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError

_USER_ID = re.compile(r"[0-9]{1,18}")
_JTI = re.compile(r"[0-9a-f]{32}")
_LAST_SECOND = 10**11  # In the year 5138: past it, dates overflow.


class OwnClaims(tokens.Token):
    def __init__(self, token: Any = None, verify: bool = True) -> None:
        """Looks at the claims before the library does, which trusts their types."""
        if token is not None and not _are_ours(self._unverified(token)):
            raise TokenError(_("Token is invalid"))
        super().__init__(token, verify)

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
        and all(type(time) is int and 0 <= time < _LAST_SECOND for time in times)
    )


def _is(form: re.Pattern[str], claim: Any) -> bool:
    return isinstance(claim, str) and form.fullmatch(claim) is not None


class AccessToken(OwnClaims, tokens.AccessToken):
    pass


class RefreshToken(OwnClaims, tokens.RefreshToken):  # type: ignore[misc]
    pass


class UntypedToken(OwnClaims, tokens.UntypedToken):
    pass
