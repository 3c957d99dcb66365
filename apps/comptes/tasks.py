"""What a `db_worker` does for accounts."""

from django_tasks import task

from apps.comptes.services.password_links import mail_link
from apps.core.logs import about


# Before a training that waits: a person does.
@task(priority=50)
def mail_link_task(email: str, site: str, an_id: str) -> None:
    with about(an_id):
        mail_link(email, site)
