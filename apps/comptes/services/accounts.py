from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth.models import update_last_login
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Lower

from apps.comptes.exceptions import UsernameTaken
from apps.comptes.tokens import new_tokens
from apps.core.exceptions import Conflict
from apps.core.models import Role, User
from apps.core.services.epreuves import refresh_search_text


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


def register(*, username: str, password: str, **profile: Any) -> User:
    """Always a student; raises UsernameTaken, of which nothing more is said."""
    user = User(username=username, role=Role.ETUDIANT, **profile)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        if not User.objects.alias(lower=Lower("username")).filter(lower=username.lower()).exists():
            raise
        raise UsernameTaken from None
    return user


@transaction.atomic
def edit_profile(user: User, **fields: Any) -> None:
    """Only what is given; a teacher's épreuves are found by the new name."""
    for name, value in fields.items():
        setattr(user, name, value)
    user.save(update_fields=fields)
    if {"first_name", "last_name"} & fields.keys():
        refresh_search_text(user.epreuves_enseignees.all())
