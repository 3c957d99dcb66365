"""Many at once: counters are exact, a pair has one row, SQLite never says « locked »."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
import pytest

from tests.reliability import servers, traffic
from tests.reliability.conftest import CAST
from tests.reliability.servers import Answer, Bank, Client, Gunicorn, running, wait_until

pytestmark = pytest.mark.requires("servers")


@dataclass(frozen=True)
class Ground:
    """A server, students to ask it at once, and épreuves that nobody touched, one a test."""

    web: Gunicorn
    students: list[Client]
    untouched: list[int]

    @property
    def bank(self) -> Bank:
        return self.web.bank


def ground_on(web: Gunicorn) -> Ground:
    made = "from tests.factories import EpreuveFactory\n"
    made += "print(*(epreuve.pk for epreuve in EpreuveFactory.create_batch(8)))"
    untouched = [int(pk) for pk in web.bank.python(made).split()]
    return Ground(web, traffic.newcomers(web.bank, web.client, 200), untouched)


@pytest.fixture(scope="module")
def on_postgresql(web: Gunicorn) -> Ground:
    return ground_on(web)


@pytest.fixture(scope="module")
def on_sqlite() -> Iterator[Ground]:
    """The embedded default, with the two workers of a server."""
    with servers.folder() as folder:
        bank = servers.embedded(folder)
        bank.python(CAST)
        with running(Gunicorn(folder, bank=bank)) as web:
            yield ground_on(web)


@pytest.fixture(params=["on_postgresql", "on_sqlite"])
def ground(request: pytest.FixtureRequest) -> Ground:
    return request.getfixturevalue(request.param)


def test_two_hundred_views_at_once_count_two_hundred(ground: Ground) -> None:
    epreuve = ground.untouched.pop()

    def view(student: Client) -> int:
        return student.post(f"/api/epreuves/{epreuve}/view/").status

    with ThreadPoolExecutor(16) as pool:
        assert Counter(pool.map(view, ground.students)) == {201: 200}
    counted = f"select nb_vues from core_epreuve where id = {epreuve}"
    rows = f"select count(*) from core_interaction where epreuve_id = {epreuve}"
    assert ground.bank.sql(counted) == ground.bank.sql(rows) == [(200,)]


def test_eight_who_write_twenty_five_times_each_meet_no_error(ground: Ground) -> None:
    epreuves = traffic.epreuve_ids(ground.bank)[:20]

    def write(student: Client) -> list[int]:
        said = []
        for n in range(25):
            epreuve = epreuves[n % len(epreuves)]
            notes = {"epreuve": epreuve, "note_difficulte": 1 + n % 5, "note_pertinence": 3}
            comment = {"epreuve": epreuve, "contenu": f"Commentaire {n}"}
            said += [
                student.post(f"/api/epreuves/{epreuve}/view/").status,
                student.post("/api/evaluations/", notes).status,
                student.post("/api/commentaires/", comment).status,
            ]
        return said

    with ThreadPoolExecutor(8) as pool:
        said = Counter(
            status for statuses in pool.map(write, ground.students[:8]) for status in statuses
        )
    assert set(said) <= {200, 201}
    assert said.total() == 8 * 25 * 3


def test_the_same_evaluation_from_sixteen_at_once_is_one_row(ground: Ground) -> None:
    epreuve, student = ground.untouched.pop(), ground.students[0]
    ready = threading.Barrier(16)

    def rate(n: int) -> Answer:
        ready.wait(10)
        notes = {"epreuve": epreuve, "note_difficulte": 1 + n % 5, "note_pertinence": 1 + n % 5}
        return student.post("/api/evaluations/", notes)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(rate, range(16)))
    assert Counter(answer.status for answer in answers) == {201: 1, 200: 15}
    kept = ground.bank.sql(
        f"select note_difficulte, note_pertinence from core_evaluation where epreuve_id = {epreuve}"
    )
    ((difficulte, pertinence),) = kept
    totals = "nb_evaluations, somme_difficulte, somme_pertinence"
    counted = ground.bank.sql(f"select {totals} from core_epreuve where id = {epreuve}")
    assert counted == [(1, difficulte, pertinence)]


LOGGED = "select count(*) from recommender_reponseservie"


def test_eight_who_follow_what_is_recommended_are_all_logged_and_all_counted(
    ground: Ground,
) -> None:
    students = ground.students[8:16]

    def follow(student: Client) -> list[int]:
        said = []
        for n in range(1, 11):
            answer = student.get(f"/api/recommendations/personalized/?top_k={n}")
            first = answer.json["recommendations"][0]["epreuve"]["id"]
            click = {"requete_id": answer.json["requete_id"]}
            wait_for_its_line(ground.bank, answer)  # No finger is as fast.
            said += [answer.status, student.post(f"/api/epreuves/{first}/view/", click).status]
        return said

    with ThreadPoolExecutor(8) as pool:
        said = Counter(status for statuses in pool.map(follow, students) for status in statuses)
    assert said == {200: 80, 201: 80}
    users = ", ".join(str(student.get("/api/moi/").json["id"]) for student in students)
    assert ground.bank.sql(f"{LOGGED} where user_id in ({users}) and clics = '1'") == [(80,)]


def wait_for_its_line(bank: Bank, answer: Answer) -> None:
    """In the log, which is written after the answer."""
    pk = answer.json["requete_id"]
    # SQLite has no such type as a UUID: there it is its 32 digits.
    row = f"{LOGGED} where id = '{pk if bank.postgres else pk.replace('-', '')}'"
    wait_until(lambda: bank.sql(row) == [(1,)], "its line", 10)


# --- The race itself: another connection holds the row, uncommitted ----------------------


@pytest.fixture
def rival(bank: Bank) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Another writer in the database, in the middle of its transaction."""
    assert bank.postgres is not None
    with bank.postgres.connect(bank.variables["DB_NAME"]) as rival:
        rival.autocommit = False
        yield rival


def wait_for_the_lock(bank: Bank) -> None:
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = '{}'"
    wait_until(lambda: bank.sql(waiting.format(bank.variables["DB_NAME"])), "a request waits", 10)


def test_an_answer_does_not_wait_for_its_line_in_the_log(
    on_postgresql: Ground, rival: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    bank = on_postgresql.bank
    rival.execute("lock table recommender_reponseservie in access exclusive mode")
    answer = on_postgresql.students[0].get("/api/recommendations/personalized/?top_k=7")
    assert answer.status == 200
    wait_for_the_lock(bank)
    rival.rollback()
    wait_for_its_line(bank, answer)


EVALUATION = """
    insert into core_evaluation
        (user_id, epreuve_id, note_difficulte, note_pertinence, date_creation, date_modification)
    values ({user}, {epreuve}, 1, 1, now(), now())
"""
VIEW = """
    insert into core_interaction (user_id, epreuve_id, type_interaction, contexte, fenetre, date)
    values ({user}, {epreuve}, 'vue', 'direct', floor(extract(epoch from now()) / 1800), now())
"""


@pytest.mark.parametrize(
    ("rows", "path", "ends", "status"),
    [
        (EVALUATION, "/api/evaluations/", "commit", 200),
        (EVALUATION, "/api/evaluations/", "rollback", 201),
        (VIEW, "/api/epreuves/{epreuve}/view/", "commit", 200),
        (VIEW, "/api/epreuves/{epreuve}/view/", "rollback", 201),
    ],
)
def test_a_row_that_another_is_writing_is_waited_for(
    on_postgresql: Ground,
    rival: "psycopg.Connection[tuple[object, ...]]",
    rows: str,
    path: str,
    ends: str,
    status: int,
) -> None:
    bank, student = on_postgresql.bank, on_postgresql.students[0]
    epreuve = on_postgresql.untouched.pop()
    user = student.get("/api/moi/").json["id"]
    rival.execute(rows.format(user=user, epreuve=epreuve))
    body = {"epreuve": epreuve, "note_difficulte": 5, "note_pertinence": 5}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            student.post, path.format(epreuve=epreuve), body if "evaluations" in path else {}
        )
        wait_for_the_lock(bank)
        getattr(rival, ends)()
        assert asked.result(30).status == status
    table = "core_evaluation" if "evaluations" in path else "core_interaction"
    kind = "" if "evaluations" in path else "and type_interaction = 'vue'"
    count = f"select count(*) from {table} where user_id = {user} and epreuve_id = {epreuve} {kind}"
    assert bank.sql(count) == [(1,)]
