"""What people see before they sign in, and the documentation."""

import pytest

from apps.comptes.services.password_links import link_path
from tests.factories import UserFactory

pytestmark = [pytest.mark.requires("chromium"), pytest.mark.django_db(transaction=True)]


def test_the_documentation_lists_the_api(watched):
    watched.page.goto(f"{watched.base}/api/docs/")
    # It says that it is loading for as long as the schema is on its way.
    watched.page.locator(".opblock").nth(20).wait_for()
    watched.look("api-docs")
    assert watched.page.get_by_text("/api/recommendations/personalized/").is_visible()
    assert watched.faults == []


def test_the_administration_asks_who_comes(desk):
    desk.open_at_both_widths("/admin/", "admin-connexion")
    assert desk.faults == []


@pytest.fixture
def link(transactional_db: None) -> str:
    """For somebody who forgot a password; made before Playwright starts, like the bank."""
    return link_path(UserFactory(username="nadege"))


def test_a_forgotten_password_is_replaced_on_a_page_of_ours(link, watched):
    watched.open(link, "mot-de-passe")
    for number in (1, 2):
        watched.page.fill(f"[name=new_password{number}]", "Kpodji-7-fromagers")
    watched.page.click("[type=submit]")
    watched.page.get_by_text("est enregistré").wait_for()
    watched.look("mot-de-passe-choisi")
    watched.open(link, "mot-de-passe-lien-servi")
    assert watched.page.get_by_text("Ce lien ne sert plus").is_visible()
    assert watched.faults == []
