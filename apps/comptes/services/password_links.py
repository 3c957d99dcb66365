"""Links by which someone who forgot a password chooses another: each serves once, and not long."""

import logging

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import send_mail
from django.db.models.functions import Lower
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from apps.core.models import User

logger = logging.getLogger(__name__)


class Links(PasswordResetTokenGenerator):
    # Whatever module it is in: another salt would end the links that are out.
    key_salt = "apps.core.services.password_links.Links"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        """What closes the sessions of an account ends its links too."""
        return super()._make_hash_value(user, timestamp) + user.get_session_auth_hash()


links = Links()


def link_path(user: User) -> str:
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("nouveau-mot-de-passe", args=[uid, links.make_token(user)])


def link_holder(uid: str, token: str) -> User | None:
    """Whose link it is, as long as it is good for something."""
    try:
        user = User.objects.get(pk=urlsafe_base64_decode(uid).decode(), is_active=True)
    except (ValueError, OverflowError, User.DoesNotExist):
        return None
    return user if links.check_token(user, token) else None


def mail_link(email: str, site: str) -> None:
    """Nothing where nobody, or a closed account, holds that address."""
    holders = User.objects.alias(lower=Lower("email")).filter(lower=email.lower(), is_active=True)
    for user in holders:
        facts = {
            "user": user,
            "link": site + link_path(user),
            "hours": settings.PASSWORD_RESET_TIMEOUT // 3600,
        }
        text = render_to_string("comptes/nouveau_mot_de_passe.txt", facts)
        send_mail("Votre mot de passe de la banque d'épreuves", text, None, [user.email])
        logger.info("Lien de mot de passe envoyé à l'utilisateur %s", user.empreinte)
