"""« Qualité en ligne », over answers of two versions, of which one is followed more."""

import pytest

from apps.core.models import User
from apps.recommender.models import ReponseServie
from tests.factories import PASSWORD, UserFactory

pytestmark = [pytest.mark.requires("chromium"), pytest.mark.django_db(transaction=True)]

URL = "/admin/recommender/reponseservie/"


@pytest.fixture
def answered(transactional_db: None) -> None:
    User.objects.create_superuser("rachidi", password=PASSWORD)
    student = UserFactory()
    ReponseServie.objects.bulk_create(
        ReponseServie(
            user=student,
            genre="similaire" if n % 4 == 0 else "personnalisee",
            version_modele=f"2026112{n % 2}-171333-hybrid",
            epreuves=[*range(10)],
            sources="ncf ncf contenu ncf ncf historique ncf profil populaires recentes",
            clics=str(1 + n % 7) if n % 3 == 0 or n % 2 else "",
        )
        for n in range(240)
    )


def test_online_quality_reads_well(answered, desk):
    desk.sign_in("rachidi")
    desk.open_at_both_widths(URL, "admin-qualite")
    assert desk.page.get_by_text("est mieux suivie que").is_visible()
    desk.page.locator("summary").first.click()
    desk.look("admin-qualite-tableau")
    desk.page.fill("[name=du]", "2026-03-02")
    desk.page.fill("[name=au]", "2026-03-01")
    desk.page.get_by_role("button", name="Montrer").click()
    desk.page.get_by_text("finit avant de commencer").wait_for()
    desk.look("admin-qualite-erreur")
    assert desk.faults == []
