"""What drf-spectacular cannot guess: how a client says who it is."""

from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme


class BearerScheme(SimpleJWTScheme):  # type: ignore[no-untyped-call]
    target_class = "apps.comptes.tokens.Authentication"
