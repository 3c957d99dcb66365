"""An administrator trains, watches, activates and goes back in a browser, while people come."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM, QUIET, Watched
from tests.reliability import servers, traffic
from tests.reliability.servers import (
    DOMAIN,
    HOST,
    Answer,
    Bank,
    Client,
    Gunicorn,
    Nginx,
    free_port,
    running,
    under_load,
    wait_until,
)
from tests.reliability.test_background import Worker

pytestmark = pytest.mark.requires("servers", "nginx", "chromium")

CAST = """
from tests.factories import UserFactory
UserFactory(username="rachidi", role="administrateur", filiere=None, niveau="")
UserFactory(username="etudiant0")
"""
# Epochs of seconds, so that there is something to watch.
SLOW = {"batch_size": "1", "version": "v2"}
PERSONALIZED = "/api/recommendations/personalized/"


@pytest.fixture
def nginx(school: Bank) -> Iterator[Nginx]:
    """Two processes of four threads behind nginx, and two workers."""
    school.python(CAST)
    school.manage("collectstatic", "--noinput", "--verbosity=0")
    port = free_port()
    school.variables["CSRF_TRUSTED_ORIGINS"] = f"https://{DOMAIN}:{port}"
    with (
        servers.folder() as first,
        servers.folder() as second,
        servers.folder() as front,
        running(Worker(first, bank=school)),
        running(Worker(second, bank=school)),
        running(Gunicorn(school.folder, bank=school)) as web,
        running(Nginx(front, web=web, port=port)) as nginx,
    ):
        yield nginx


@contextmanager
def browser(nginx: Nginx) -> Iterator[Watched]:
    to_us = f"--host-resolver-rules=MAP {DOMAIN} {HOST}"
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, to_us])
        page = chromium.new_page(
            viewport={"width": 1280, "height": 720}, locale="fr-FR", ignore_https_errors=True
        )
        page.set_default_timeout(60_000)  # two cores for all of it
        yield Watched(page, f"https://{DOMAIN}:{nginx.port}")
        chromium.close()


def everyday(client: Client, epreuves: list[int]) -> partial[Answer]:
    requests = traffic.everyday(client, epreuves)
    return partial(lambda: next(requests)())


def serves(version: str, client: Client) -> bool:
    """Twenty times in a row: each worker gave some of them."""
    return all(client.get(PERSONALIZED).json["version_modele"] == version for _ in range(20))


def test_a_model_is_trained_watched_activated_and_taken_back_while_people_come(
    nginx: Nginx, school: Bank
) -> None:
    students = traffic.newcomers(school, nginx.client, 4)
    epreuves = traffic.epreuve_ids(school)
    with (
        under_load([everyday(student, epreuves) for student in students]) as answers,
        browser(nginx) as watched,
    ):
        page = watched.page
        watched.sign_in("rachidi")

        # Asked for, it is handed to a worker, and its page is there at once.
        watched.open("/admin/recommender/traininglog/", "exploitation-entrainements")
        page.get_by_role("link", name="Ré-entraîner").first.click()
        for name, value in SLOW.items():
            page.fill(f"[name={name}]", value)
        page.get_by_role("button", name="Lancer l'entraînement").click()

        # Its curves grow in front of who looks.
        points = page.locator("#courbes svg circle")
        points.first.wait_for()
        assert page.locator("#avancement progress").count() == 1
        page.wait_for_function(
            "n => document.querySelectorAll('#courbes svg circle').length > n", arg=points.count()
        )
        watched.look_at_the_other_width("exploitation-avancement")
        page.get_by_text("Terminé").first.wait_for()
        watched.look_at_the_other_width("exploitation-termine")
        wait_until(lambda: serves("v2", students[0]), "v2", 10)

        # The one before, by a click and a reason; then the other way round, by a click.
        watched.open("/admin/recommender/modelmetadata/", "exploitation-modeles")
        page.get_by_role("link", name="v1").click()
        page.get_by_role("link", name="Activer").first.click()
        page.fill("[name=motif]", "Pour comparer sur le terrain.")
        page.get_by_role("button", name="Activer").click()
        page.get_by_text("sert, à la place de v2").first.wait_for()
        wait_until(lambda: serves("v1", students[0]), "v1", 10)
        page.goto(f"{watched.base}/admin/recommender/modelmetadata/")
        page.get_by_role("button", name="Revenir").click()
        page.get_by_text("sert, à la place de v1").first.wait_for()
        wait_until(lambda: serves("v2", students[0]), "v2", 10)
        watched.open("/admin/recommender/activationmodele/", "exploitation-journal")

    # Who clicks on calls off what the page before was still fetching.
    assert [fault for fault in watched.faults if "net::ERR_ABORTED" not in fault] == []
    assert len(answers) > 100
    assert {answer.status for answer in answers} <= {200, 201}
    journal = school.sql("SELECT declencheur FROM recommender_activationmodele ORDER BY id DESC")
    assert [row for (row,) in journal[:3]] == ["admin", "admin", "entrainement"]
