"""Django's own history of the administration, which the API writes into as well."""

from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model

from apps.core.models import User


def note(row: Model, message: str, *, par: User, flag: int = CHANGE) -> None:
    """To be called in the transaction of what it tells."""
    LogEntry.objects.log_actions(par.pk, [row], flag, message, single_object=True)
