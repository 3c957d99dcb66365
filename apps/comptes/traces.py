"""What is about a person without a foreign key that says so."""

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.db.models.functions import Lower
from django_tasks_db.models import DBTaskResult

from apps.comptes.tasks import mail_link_task
from apps.core.models import User

LOGINS = (AccessAttempt, AccessFailureLog, AccessLog)


def logins_of(user: User, kind: Any) -> QuerySet[Any]:
    """Rows of one of LOGINS. People type what they know of themselves where the username goes."""
    typed = {text.lower() for text in (user.username, user.email, user.matricule) if text}
    rows: QuerySet[Any] = kind.objects.alias(lower=Lower("username")).filter(lower__in=typed)
    return rows.order_by("pk")


def sessions_of(user: User) -> list[Session]:
    """Of the administration, whose number is small: a session is sealed, and opened one by one."""
    sessions = Session.objects.order_by("expire_date").iterator()
    return [one for one in sessions if one.get_decoded().get("_auth_user_id") == str(user.pk)]


def mails_of(user: User) -> QuerySet[Any]:
    """The links asked for by e-mail, done or waiting."""
    if not user.email:
        return DBTaskResult.objects.none()
    # By its name: its module was another one when some of them were asked for.
    asked = DBTaskResult.objects.filter(task_path__endswith=f".{mail_link_task.name}")
    return asked.filter(args_kwargs__args__0__iexact=user.email).order_by("enqueued_at")
