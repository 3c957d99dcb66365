"""A forgotten password from the request to the mailbox and back, by a worker of its own."""

import re
import socketserver
from collections.abc import Iterator
from email import message_from_bytes, policy
from threading import Thread

import pytest

from tests.reliability import servers
from tests.reliability.conftest import TEMPLATE
from tests.reliability.servers import HOST, Gunicorn, Postgres, Redis, running, wait_until
from tests.reliability.test_background import Worker

pytestmark = pytest.mark.requires("servers")

ADDRESS = "nadege@imsp.test"
NEW = "Kpodji-7-fromagers"


class Mailbox(socketserver.ThreadingTCPServer):
    """As much of an SMTP server as it takes to be sent a message."""

    def __init__(self) -> None:
        super().__init__((HOST, 0), Delivery)
        self.messages: list[str] = []


class Delivery(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.say(b"220 ready")
        while line := self.rfile.readline().strip().upper():
            if line == b"QUIT":
                self.say(b"221 bye")
                return
            if line == b"DATA":
                self.say(b"354 go on")
                data = b"".join(iter(self.rfile.readline, b".\r\n"))
                message = message_from_bytes(data, policy=policy.default)
                self.server.messages.append(f"{message['To']}\n{message.get_content()}")
            self.say(b"250 fine")

    def say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as mailbox:
        Thread(target=mailbox.serve_forever, daemon=True).start()
        yield mailbox
        mailbox.shutdown()


@pytest.fixture
def web(postgres: Postgres, redis: Redis, mailbox: Mailbox) -> Iterator[Gunicorn]:
    mail = {
        "EMAIL_URL": f"smtp://{HOST}:{mailbox.server_address[1]}",
        "DEFAULT_FROM_EMAIL": "banque@imsp.test",
    }
    with (
        servers.folder() as folder,
        servers.production(folder, postgres, redis, template=TEMPLATE, **mail) as bank,
        running(Gunicorn(folder, bank=bank)) as web,
    ):
        bank.sql(f"update core_user set email = '{ADDRESS}' where username = 'etudiant0'")
        yield web


def test_the_link_comes_by_a_worker_serves_once_and_is_in_no_log(
    web: Gunicorn, mailbox: Mailbox
) -> None:
    for address in ("personne@imsp.test", ADDRESS):
        assert web.client.post("/api/mot-de-passe/oubli/", {"email": address}).status == 202
    assert mailbox.messages == []
    with running(Worker(web.folder, bank=web.bank)) as worker:
        wait_until(lambda: mailbox.messages, "a message")
    [message] = mailbox.messages
    assert message.startswith(ADDRESS)
    uid, token = re.search(r"https://banque\.test/mot-de-passe/([^/]+)/([^/]+)/", message).groups()

    assert web.client.get(f"/mot-de-passe/{uid}/{token}/").status == 302
    body = {"uid": uid, "jeton": token, "nouveau_mot_de_passe": NEW}
    assert web.client.post("/api/mot-de-passe/nouveau/", body).status == 200
    assert web.client.post("/api/mot-de-passe/nouveau/", body).status == 403
    assert web.client.signed_in("etudiant0", NEW).get("/api/moi/").status == 200

    said = web.log.read_text("utf-8") + worker.log.read_text("utf-8")
    assert "/mot-de-passe/" in said
    assert not [secret for secret in (token, ADDRESS, NEW, "personne@") if secret in said]
