from collections.abc import Mapping
from typing import Any

from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from apps.comptes.addresses import client_address
from apps.core.throttles import AccountThrottle


class ExportThrottle(AccountThrottle):
    """It reads everything that somebody ever did."""

    scope = "export"


class ForgottenThrottle(SimpleRateThrottle):
    """Bounds the messages that one address has sent to another: nobody floods a mailbox."""

    scope = "oubli"

    def get_cache_key(self, request: Request, view: Any) -> str:
        email = request.data.get("email") if isinstance(request.data, Mapping) else None
        # Trimmed, as the field does: blanks around it lead to the same mailbox.
        pair = f"{client_address(request)}|{str(email).strip()}".lower()
        # Keyed: a plain hash of an address is found by trying addresses.
        ident = salted_hmac("apps.comptes.throttles", pair.encode(errors="replace")).hexdigest()
        return self.cache_format % {"scope": self.scope, "ident": ident}


class AddressThrottle(SimpleRateThrottle):
    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.cache_format % {"scope": self.scope, "ident": client_address(request)}


class ForgottenAddressThrottle(AddressThrottle):
    """Bounds the messages of one address, whoever they are for: a worker sends fifty a second."""

    scope = "oubli_adresse"


class RegistrationThrottle(AddressThrottle):
    """Bounds the accounts that one address opens, and the usernames that it tries."""

    scope = "inscription"
