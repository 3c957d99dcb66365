"""How passwords are hashed, and which ones are refused."""

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError

from apps.core.models import User

LENGTH_MAX = 128


class Argon2(Argon2PasswordHasher):
    """As OWASP advises; Django's own parameters take 100 MiB for each login at work."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1


class MaximumLength:
    def validate(self, password: str, user: User | None = None) -> None:
        if len(password) > LENGTH_MAX:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return f"Votre mot de passe doit contenir au maximum {LENGTH_MAX} caractères."


class Change:
    def validate(self, password: str, user: User | None = None) -> None:
        if user and user.pk and user.check_password(password):
            raise ValidationError(self.get_help_text(), code="password_unchanged")

    def get_help_text(self) -> str:
        return "Votre nouveau mot de passe doit différer du présent."
