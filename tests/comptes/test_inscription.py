import pytest
from rest_framework.throttling import SimpleRateThrottle

from apps.comptes.exceptions import UsernameTaken
from apps.comptes.services.accounts import register
from apps.core.models import User
from tests.core.test_interactions import at_once
from tests.factories import FiliereFactory, UserFactory

pytestmark = pytest.mark.django_db
PASSWORD = "Kpodji-7-fromagers"


@pytest.fixture
def opened(settings):
    settings.INSCRIPTION_OUVERTE = True


def sign_up(client, username="nadege", password=PASSWORD, **more):
    body = {"username": username, "password": password} | more
    return client.post("/api/inscription/", body)


def test_registration_is_closed_unless_opened_and_says_so(anyone):
    answer = sign_up(anyone)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (403, "inscription_fermee")
    assert "inscriptions sont fermées" in error["detail"]
    assert not User.objects.exists()


def test_whoever_registers_is_a_student_and_may_come_in(opened, anyone):
    FiliereFactory(code="MATH")
    answer = sign_up(anyone, filiere="MATH", niveau="L2")
    assert answer.status_code == 201
    body = answer.json()
    assert (body["username"], body["role"], body["niveau"]) == ("nadege", "etudiant", "L2")
    assert "password" not in body
    login = anyone.post("/api/token/", {"username": "Nadege", "password": PASSWORD})
    assert login.status_code == 200


def test_nothing_else_can_be_chosen(opened, anyone):
    wanted = {
        "role": "administrateur",
        "is_staff": True,
        "is_superuser": True,
        "is_active": False,
        "matricule": "X1",
        "email": "awa@imsp.test",
        "id": 77,
    }
    assert sign_up(anyone, **wanted).status_code == 201
    user = User.objects.get()
    assert (user.role, user.is_staff, user.is_superuser, user.is_active) == (
        "etudiant",
        False,
        False,
        True,
    )
    assert (user.matricule, user.email) == (None, "")
    assert user.pk != 77


@pytest.mark.parametrize("username", ["awa", "AWA", " Awa "])
def test_a_username_is_taken_whatever_its_case(opened, anyone, awa, username):
    answer = sign_up(anyone, username)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["attr"], error["code"]) == (400, "username", "unique")
    assert User.objects.count() == 1


def test_that_a_username_is_taken_is_all_one_learns_of_its_account(opened, anyone, awa):
    """The same answer whether it is active or not, and whatever it is."""
    UserFactory(username="rachidi", is_active=False, role="administrateur")
    bodies = [sign_up(anyone, username).json()["errors"] for username in ("awa", "rachidi")]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("username", "évariste"),
        ("username", ""),
        ("username", "x" * 151),
        ("username", "a b"),
        ("username", "a\0b"),
        ("password", "1234"),
        ("password", "nadege12"),
        ("password", "x" * 129),
        ("filiere", "XXX"),
        ("niveau", "L9"),
    ],
)
def test_a_bad_value_is_refused_beside_its_field(opened, anyone, name, value):
    answer = sign_up(anyone, **({"username": "nadege"} | {name: value}))
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, name)
    assert not User.objects.exists()


def test_one_address_registers_so_many_and_another_goes_on(opened, anyone, monkeypatch):
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "inscription", "3/hour")
    statuses = [sign_up(anyone, f"nadege{n}").status_code for n in range(4)]
    assert statuses == [201, 201, 201, 429]
    anyone.defaults["REMOTE_ADDR"] = "10.0.0.9"
    assert sign_up(anyone, "autre").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_of_those_who_take_a_name_at_once_one_has_it():
    def take(username):
        try:
            return register(username=username, password=PASSWORD).username
        except UsernameTaken:
            return None

    taken = at_once(take, ["nadege", "Nadege", "NADEGE", "nadege"])
    assert len([name for name in taken if name]) == 1
    assert User.objects.count() == 1
