"""PostgreSQL down, restarted, crashed; gunicorn's processes killed: no lie, nothing lost."""

import http.client
import os
import random
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.reliability import traffic
from tests.reliability.servers import (
    Answer,
    Bank,
    Client,
    Gunicorn,
    Postgres,
    under_load,
    wait_until,
)

pytestmark = pytest.mark.requires("servers")


@contextmanager
def down(postgres: Postgres) -> Iterator[None]:
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


def statuses(answers: list[Answer]) -> set[int]:
    return {answer.status for answer in answers}


def test_without_the_database_every_answer_is_a_503_and_afterwards_none(
    postgres: Postgres, students: list[Client], epreuves: list[int]
) -> None:
    assert statuses(traffic.answers(students, epreuves, 96)) == {200, 201}
    with down(postgres):
        refused = traffic.answers(students, epreuves, 200)
    assert statuses(refused) == {503}
    for answer in refused:
        assert int(answer.headers["Retry-After"]) > 0
        assert set(answer.json) == {"type", "errors", "request_id"}
        assert answer.json["errors"][0]["code"] == "base_indisponible"
    assert statuses(traffic.answers(students, epreuves, 200)) == {200, 201}


def test_a_restart_that_nobody_saw_leaves_no_stale_connection(
    postgres: Postgres, students: list[Client], epreuves: list[int]
) -> None:
    assert statuses(traffic.answers(students, epreuves, 96)) == {200, 201}
    with down(postgres):
        pass
    assert statuses(traffic.answers(students, epreuves, 200)) == {200, 201}


def test_a_restart_under_load_is_seen_as_503_or_not_at_all(
    postgres: Postgres, students: list[Client], epreuves: list[int]
) -> None:
    asking = [traffic.everyday(student, epreuves) for student in students]
    with under_load([lambda turn=turn: next(turn)() for turn in asking]) as answers:
        for _ in range(2):
            time.sleep(0.5)
            with down(postgres):
                time.sleep(0.5)
    assert statuses(answers) == {200, 201, 503}
    assert statuses(traffic.answers(students, epreuves, 200)) == {200, 201}


# --- What was acknowledged is there ------------------------------------------------------


@dataclass
class Writer:
    """A student who writes, and remembers what was acknowledged and what may have been."""

    client: Client
    epreuves: list[int]
    comments: list[str] = field(default_factory=list)
    views: set[int] = field(default_factory=set)
    # What each evaluation may be: one value where the last writing was acknowledged.
    notes: dict[int, set[int]] = field(default_factory=dict)
    acknowledged: int = 0

    def write(self) -> None:
        self.comment(f"écrit {secrets.token_hex(8)}")
        self.view(random.choice(self.epreuves))
        self.rate(random.choice(self.epreuves), random.randint(1, 5))

    def comment(self, contenu: str) -> None:
        body = {"epreuve": self.epreuves[0], "contenu": contenu}
        if self.is_acknowledged("/api/commentaires/", body):
            self.comments.append(contenu)

    def view(self, epreuve: int) -> None:
        if self.is_acknowledged(f"/api/epreuves/{epreuve}/view/", {}):
            self.views.add(epreuve)

    def rate(self, epreuve: int, note: int) -> None:
        body = {"epreuve": epreuve, "note_difficulte": note, "note_pertinence": note}
        if self.is_acknowledged("/api/evaluations/", body):
            self.notes[epreuve] = {note}
        else:
            self.notes.setdefault(epreuve, {0}).add(note)

    def is_acknowledged(self, path: str, body: object) -> bool:
        try:
            answer = self.client.post(path, body)
        except (OSError, http.client.HTTPException):
            return False
        assert answer.status in (200, 201, 503), answer.body
        self.acknowledged += answer.status != 503
        return answer.status != 503


def check(bank: Bank, writers: list[Writer]) -> None:
    stored = bank.sql("select contenu, auteur_id from core_commentaire where contenu like 'écrit%'")
    assert len(stored) == len(set(stored)), "a comment is doubled"
    owners = dict(stored)
    views = set(
        bank.sql("select user_id, epreuve_id from core_interaction where type_interaction = 'vue'")
    )
    notes = {
        (user, epreuve): both
        for user, epreuve, *both in bank.sql(
            "select user_id, epreuve_id, note_difficulte, note_pertinence from core_evaluation"
        )
    }
    for writer in writers:
        assert set(writer.comments) <= owners.keys(), "an acknowledged comment is lost"
        user = owners[writer.comments[0]]
        assert {(user, epreuve) for epreuve in writer.views} <= views, "a view is lost"
        for epreuve, may_be in writer.notes.items():
            both = notes.get((user, epreuve), [0, 0])
            assert both[0] == both[1] in may_be, "an evaluation is lost, or half of it"
    assert miscounted(bank) == []


def miscounted(bank: Bank) -> list[tuple[object, ...]]:
    """The épreuves whose counters are not what their rows say."""
    return bank.sql(
        """
        select e.id, e.nb_vues, e.nb_evaluations, e.somme_difficulte, e.somme_pertinence
        from core_epreuve e where (nb_vues, nb_evaluations, somme_difficulte, somme_pertinence)
            <> ((select count(*) from core_interaction
                 where epreuve_id = e.id and type_interaction = 'vue'),
                (select count(*) from core_evaluation where epreuve_id = e.id),
                (select coalesce(sum(note_difficulte), 0) from core_evaluation
                 where epreuve_id = e.id),
                (select coalesce(sum(note_pertinence), 0) from core_evaluation
                 where epreuve_id = e.id))
        """
    )


def write_through_crashes(bank: Bank, web: Gunicorn, postgres: Postgres, goal: int) -> int:
    """Until that many writes were acknowledged, a crash after each third of them."""
    bank.python(
        "from apps.core.services.counters import recount;"
        "from apps.core.models import Epreuve;"
        "recount(Epreuve.objects.values_list('pk', flat=True))"
    )
    epreuves = traffic.epreuve_ids(bank)
    writers = [Writer(client, epreuves) for client in traffic.newcomers(bank, web.client, 8)]

    def done() -> int:
        return sum(writer.acknowledged for writer in writers)

    def faults() -> None:
        wait_until(lambda: done() > goal / 3, "a third", 240)
        postgres.crash()
        postgres.start()
        wait_until(lambda: done() > 2 * goal / 3, "two thirds", 240)
        os.kill(random.choice(web.workers), signal.SIGKILL)
        wait_until(lambda: done() > goal, "all", 240)

    with under_load([writer.write for writer in writers]):
        faults()
    wait_until(web.is_ready, "another worker")
    check(bank, writers)
    return done()


def test_acknowledged_writes_survive_crashes(bank: Bank, web: Gunicorn, postgres: Postgres) -> None:
    assert write_through_crashes(bank, web, postgres, 600) > 600


@pytest.mark.reliability
def test_five_thousand_acknowledged_writes_survive_crashes(
    bank: Bank, web: Gunicorn, postgres: Postgres
) -> None:
    assert write_through_crashes(bank, web, postgres, 5_000) > 5_000
