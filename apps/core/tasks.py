"""What a `db_worker` does for the bank."""

from django_tasks import task

from apps.core.logs import about
from apps.core.services.password_links import mail_link


# Before a training that waits: a person does.
@task(priority=50)
def mail_link_task(email: str, site: str, request_id: str) -> None:
    with about(request_id):
        mail_link(email, site)
