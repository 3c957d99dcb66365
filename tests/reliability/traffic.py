"""What people ask of the bank, for faults to fall upon."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from typing import Any

from tests.factories import PASSWORD
from tests.reliability.servers import Answer, Bank, Client

Request = Callable[[], Answer]

_NEWCOMERS = """
from apps.core.models import User
from apps.comptes.tokens import AccessToken

users = [User(username=f"{prefix}-{{n}}", niveau="L2") for n in range({n})]
print(*(AccessToken.for_user(user) for user in User.objects.bulk_create(users)), sep="\\n")
"""


def newcomers(bank: Bank, client: Client, n: int) -> list[Client]:
    """As many new students, signed in without the cost of a password."""
    code = _NEWCOMERS.format(prefix=f"foule{secrets.token_hex(4)}", n=n)
    return [client.with_token(token) for token in bank.python(code).split()]


def epreuve_ids(bank: Bank) -> list[int]:
    return [pk for (pk,) in bank.sql("select id from core_epreuve order by id")]


def everyday(client: Client, epreuves: Sequence[int]) -> Iterator[Request]:
    """For ever, each kind in turn: nothing here is refused, whoever signed in."""
    for n in count():
        epreuve = epreuves[n % len(epreuves)]
        notes = {"epreuve": epreuve, "note_difficulte": 1 + n % 5, "note_pertinence": 4}
        comment = {"epreuve": epreuve, "contenu": f"Commentaire {secrets.token_hex(8)}"}
        login = {"username": "etudiant0", "password": PASSWORD}
        for method, path, body in (
            ("GET", "/api/recommendations/personalized/?top_k=5", None),
            ("POST", f"/api/epreuves/{epreuve}/view/", {}),
            ("GET", f"/api/recommendations/similar/?epreuve_id={epreuve}", None),
            ("POST", "/api/token/", login),
            ("GET", "/api/epreuves/?search=epreuve", None),
            ("POST", "/api/evaluations/", notes),
            ("GET", f"/api/epreuves/{epreuve}/", None),
            ("GET", "/api/recommendations/status/", None),
            ("POST", "/api/commentaires/", comment),
            ("GET", "/api/epreuves/populaires/", None),
            ("GET", "/api/moi/", None),
            ("GET", "/api/recommendations/stats/", None),
        ):
            yield _request(client, method, path, body)


def _request(client: Client, method: str, path: str, body: Any) -> Request:
    return lambda: client.call(method, path, body)


def answers(clients: Sequence[Client], epreuves: Sequence[int], n: int) -> list[Answer]:
    """`n` everyday requests, shared among the clients, who all ask at once."""
    each = n // len(clients)

    def ask(client: Client) -> list[Answer]:
        return [request() for request in islice(everyday(client, epreuves), each)]

    with ThreadPoolExecutor(len(clients)) as pool:
        return [answer for some in pool.map(ask, clients) for answer in some]


def seconds(request: Request) -> float:
    started = time.monotonic()
    assert request().status in (200, 201)
    return time.monotonic() - started
