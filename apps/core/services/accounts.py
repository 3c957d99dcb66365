from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth.models import update_last_login
from django.db.models import F

from apps.core.exceptions import Conflict
from apps.core.models import User
from apps.core.tokens import new_tokens


def open_session(user: User) -> dict[str, str]:
    """New tokens, and the date of it."""
    update_last_login(None, user)  # type: ignore[arg-type]
    return new_tokens(user)


def close_sessions(user: User) -> None:
    """End every session and token of the account, on every device, at its next request."""
    User.objects.filter(pk=user.pk).update(token_version=F("token_version") + 1)


def change_password(user: User, password: str) -> None:
    """Ends every session, and the password's being temporary; refused where it just changed."""
    known = User.objects.filter(pk=user.pk, password=user.password)
    user.set_password(password)
    user.mot_de_passe_temporaire = False
    if not known.update(password=user.password, mot_de_passe_temporaire=False):
        raise Conflict("Ce mot de passe vient d'être changé.")
    # The failures against the old one count for nothing any more.
    AxesProxyHandler.reset_attempts(username=user.username.lower())
