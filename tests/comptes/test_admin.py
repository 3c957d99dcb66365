import pytest
from django.urls import reverse

from apps.core.models import Epreuve, Role, User
from tests.factories import PASSWORD, EpreuveFactory

pytestmark = pytest.mark.django_db


def url_of(page, *args):
    return reverse(f"admin:core_user_{page}", args=args)


def user_form(**values):
    return {"username": "nadege", "role": "etudiant", "niveau": "", "is_active": "on"} | values


def test_the_role_decides_who_is_staff(desk, awa):
    for role, staff in ((Role.ADMINISTRATEUR, True), (Role.ENSEIGNANT, False)):
        answer = desk.post(url_of("change", awa.pk), user_form(username="awa", role=role))
        awa.refresh_from_db()
        assert (answer.status_code, awa.role, awa.is_staff) == (302, role, staff)


def test_an_administrator_is_created_with_a_password_that_works(desk):
    data = user_form(
        role=Role.ADMINISTRATEUR, usable_password="true", password1=PASSWORD, password2=PASSWORD
    )
    assert desk.post(url_of("add"), data).status_code == 302
    created = User.objects.get(username="nadege")
    assert (created.is_staff, created.check_password(PASSWORD)) == (True, True)


def test_a_password_is_changed(desk, awa):
    url = reverse("admin:auth_user_password_change", args=[awa.pk])
    new = PASSWORD + "-neuf"
    data = {"usable_password": "true", "password1": new, "password2": new}
    assert desk.get(url).status_code == 200
    assert desk.post(url, data).status_code == 302
    awa.refresh_from_db()
    assert awa.check_password(new)


def test_renaming_a_teacher_lets_their_epreuves_be_found_by_the_new_name(desk, mme_dossou):
    epreuve = EpreuveFactory(enseignant=mme_dossou)
    data = user_form(username="dossou", role=Role.ENSEIGNANT, first_name="Reine", last_name="Ahô")
    assert desk.post(url_of("change", mme_dossou.pk), data).status_code == 302
    assert Epreuve.objects.matching("aho").get() == epreuve
