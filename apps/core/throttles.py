"""A campus shares one address: signed-in people are counted by account, never by address."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle


class AccountThrottle(UserRateThrottle):
    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if not request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.empreinte}


class WriteThrottle(AccountThrottle):
    """Bounds what one account may publish in a minute; reading is not counted."""

    scope = "ecriture"

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method in SAFE_METHODS or super().allow_request(request, view)
